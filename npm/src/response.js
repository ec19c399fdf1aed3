// A streamed reply as a `Response`: our events, plain text, or the UI message stream of the AI SDK.

import { checkTypes } from "./check.js";
import { WarmlineError, fail } from "./errors.js";
import { uiMessageStream } from "./ui-message-stream.js";

const FORMATS = { events, text, "ui-message-stream": uiMessageStream };
const OPTIONS = { format: "string", status: "number", headers: undefined, errorMessage: "function" };

// What visitors read. The provider's own message can name accounts, keys and prompts.
const MESSAGES = {
  config: "The request is invalid.",
  rate_limited: "There are too many requests at the moment. Try again later.",
  overloaded: "The model is overloaded at the moment. Try again later.",
  timeout: "The model did not answer in time.",
  budget_exceeded: "The budget for this is used up.",
  cancelled: "The call was cancelled.",
};

const STATUS = { config: 400, budget_exceeded: 402, rate_limited: 429, cancelled: 499, overloaded: 503, ledger: 503, timeout: 504 };

function statusOf({ kind, status }) {
  return STATUS[kind] ?? (status >= 400 && status <= 599 ? status : 502);
}

/** Returns the response, once it is known whether the call succeeds. */
export async function respond(reader, options) {
  let first;
  try {
    options ??= {};
    checkTypes(options, OPTIONS);
    const { format = "events", status = 200, errorMessage } = options;
    const make = Object.hasOwn(FORMATS, format) ? FORMATS[format] : fail(`format must be one of ${Object.keys(FORMATS).join(", ")}, got ${JSON.stringify(format)}`);
    checkStatus(status);
    const headers = new Headers(options.headers);
    const messageOf = (error) => String(errorMessage?.(error) ?? MESSAGES[error.kind] ?? "The model's reply failed.");
    const form = make(messageOf);
    try {
      first = await reader.next();
    } catch (error) {
      if (!(error instanceof WarmlineError)) throw error;
      return failed(error, form, headers, messageOf(error));
    }
    headers.set("cache-control", "no-cache");
    for (const [name, value] of Object.entries(form.headers)) headers.set(name, value);
    return new Response(readable(reader, form, first), { status, headers });
  } catch (error) {
    await reader.return();
    throw error;
  }
}

/** Checks a status before the call is made. Runtimes differ in which ones their `Response` refuses. */
function checkStatus(status) {
  const hasBody = Number.isInteger(status) && status >= 200 && status <= 599 && ![204, 205, 304].includes(status);
  if (!hasBody) fail(`status must be one of a response with a body, such as 200 or 201, got ${status}`);
}

function failed(error, form, headers, message) {
  headers.set("cache-control", "no-store");
  if (error.retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(error.retryAfterMs / 1000)));
  headers.set("content-type", form.json ? "application/json" : "text/plain; charset=utf-8");
  const body = form.json ? JSON.stringify({ error: shownError(error, message) }) : message;
  return new Response(body, { status: statusOf(error), headers });
}

const shownError = ({ kind, status, requestId, retryAfterMs }, message) => ({ kind, message, status, requestId, retryAfterMs });

/** Every event as a server-sent event. */
function events(messageOf) {
  return {
    json: true,
    headers: { "content-type": "text/event-stream" },
    event: (event) => `data: ${JSON.stringify(event)}\n\n`,
    // An `EventSource` has an event named `error` of its own.
    error: (error) => `event: stream_error\ndata: ${JSON.stringify({ type: "error", error: shownError(error, messageOf(error)) })}\n\n`,
  };
}

function text() {
  return {
    headers: { "content-type": "text/plain; charset=utf-8" },
    event: (event) => (event.type === "text" ? event.text : ""),
  };
}

/** The text as a stream of bytes. */
export const textStream = (reader) => readable(reader, text());

/** Returns the bytes of a form. Cancelling them leaves the reader at once. */
function readable(reader, form, first) {
  const encoder = new TextEncoder();
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          for (;;) {
            const { done, value } = first ?? (await reader.next());
            first = undefined;
            const write = (done ? form.end?.() : form.event(value)) ?? "";
            if (write) controller.enqueue(encoder.encode(write));
            if (done) return controller.close();
            if (write) return;
          }
        } catch (error) {
          // A failure in the middle of plain text cannot be told from its end unless the body breaks.
          if (!form.error || !(error instanceof WarmlineError)) return controller.error(error);
          controller.enqueue(encoder.encode(form.error(error)));
          controller.close();
        }
      },
      cancel: () => reader.return(),
    },
    // Nothing is sent before somebody reads.
    { highWaterMark: 0 },
  );
}
