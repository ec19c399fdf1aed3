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
  partialOutput() {
    const reader = this.#call.reader();
    let text = "";
    let before;
    const parsed = (event) => {
      if (event.type === "done") return event.reply.output;
      if (event.type !== "text") return undefined;
      text += event.text;
      const value = partialJson(text);
      const now = JSON.stringify(value);
      if (now === before) return undefined;
      before = now;
      return value;
    };
    // Not a generator: that would only leave once its `next()` has ended.
    return {
      async next() {
        for (;;) {
          const step = await reader.next();
          const value = step.done ? undefined : parsed(step.value);
          if (step.done || value !== undefined) return { done: step.done, value };
        }
      },
      return: (value) => reader.return(value),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
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
