// A streamed reply, and the forms in which it is passed on.

import { partialJson } from "./partial.js";
import { respond, textStream } from "./response.js";

/** A streamed reply. */
export class ReplyStream {
  #call;

  constructor(call) {
    this.#call = call;
  }

  [Symbol.asyncIterator]() {
    return this.#call.reader();
  }

  /** Waits for the end of the stream and returns the complete reply. */
  reply() {
    return this.#call.reply();
  }

  /** Returns the output as it grows. */
  async *partialOutput() {
    let text = "";
    let before;
    for await (const event of this.#call.reader()) {
      if (event.type === "done" && event.reply.output !== undefined) yield event.reply.output;
      if (event.type !== "text") continue;
      text += event.text;
      const value = partialJson(text);
      const now = JSON.stringify(value);
      if (value !== undefined && now !== before) yield value;
      before = now;
    }
  }

  /** Returns only the text, as a stream of UTF-8 bytes. */
  textStream() {
    return textStream(this.#call.reader());
  }

  /** Returns a promise of a `Response` for an edge function. */
  toResponse(options) {
    return respond(this.#call.reader(), options);
  }
}
