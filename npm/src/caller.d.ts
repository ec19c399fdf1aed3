/// <reference lib="esnext.disposable" />
import type { CallOptions, ChatRequest, Reply, Tool } from "./index.js";
import type { InferOutput, Schema } from "./schema.js";
import type { ReplyStream } from "./stream.js";

/** The calls that a client and a router have. */
export class Caller {
  protected constructor();
  /**
   * Sends a request and returns the complete reply. A string is short for one message of the user's.
   *
   * ```ts
   * const reply = await llm.chat({ messages: [{ role: "user", content: "Hello" }], maxTokens: 256 });
   * console.log(reply.text, reply.usage.outputTokens);
   * ```
   *
   * The promise rejects with a `WarmlineError` if the call fails.
   */
  chat<const Output extends Schema | undefined = undefined, const Tools extends readonly Tool[] = readonly []>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): Promise<Reply<InferOutput<Output>, Tools>>;
  /**
   * Sends a request and returns its reply as a stream of events. Nothing is sent until the stream is read. If the call fails, reading rejects with a
   * `WarmlineError`.
   *
   * ```ts
   * for await (const event of llm.stream("Hello")) {
   *   if (event.type === "text") process.stdout.write(event.text);
   * }
   * ```
   */
  stream<const Output extends Schema | undefined = undefined, const Tools extends readonly Tool[] = readonly []>(
    request: string | ChatRequest<Output, Tools>,
    options?: CallOptions,
  ): ReplyStream<InferOutput<Output>, Tools>;
  /**
   * Waits until every call has ended and its cost is recorded in the ledger. In an edge function, `ctx.waitUntil(llm.flush())` does this after
   * the response is sent. A stream that is not read on is read to its end, and kept for its readers. Rejects with a `LedgerError` if the ledger cannot be
   * reached.
   */
  flush(): Promise<void>;
  /** Frees the memory. Later calls fail with a `ConfigError`; calls in flight continue. */
  close(): void;
  /** Does the same as `close()`, for `using llm = new Warmline(…)`. */
  [Symbol.dispose](): void;
}
