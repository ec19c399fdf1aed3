// A `fetch` for tests, which answers with a script's replies in the wire format of the request.

const OPENAI_STOP = { end_turn: "stop", stop_sequence: "stop", max_tokens: "length", tool_use: "tool_calls", refusal: "content_filter" };
const ERROR_TYPES = { 400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error" };

/** Returns a `fetch` that answers the first request with the first reply, and so on. Its `requests` are those that it was given. */
export function scriptedFetch(replies) {
  const left = [...replies];
  const requests = [];
  const fetch = async (url, init = {}) => {
    const { body = "null", headers, signal } = init;
    const text = typeof body === "string" ? body : new TextDecoder().decode(body);
    const request = { url: String(url), headers: Object.fromEntries(new Headers(headers)), body: JSON.parse(text), signal: signal ?? undefined };
    requests.push(request);
    signal?.throwIfAborted();
    const path = request.url.split("?")[0];
    const dialect = path.endsWith("/messages") ? anthropic : path.endsWith("/responses") ? responses : openai;
    if (left.length === 0) {
      // This status is not retried.
      const message = `scriptedFetch has no reply left for request ${requests.length}: its script has ${replies.length}`;
      return Response.json(dialect.error({ status: 400, message }), { status: 400 });
    }
    const next = left.shift();
    const reply = typeof next === "function" ? await next(request) : next;
    return respond(reply, request, dialect);
  };
  return Object.assign(fetch, { requests });
}

async function respond(reply, request, dialect) {
  if (reply instanceof Error) throw reply;
  if (typeof reply?.headers?.get === "function") return reply;
  const { status = 200, headers } = typeof reply === "string" ? {} : reply;
  if (status >= 400) return Response.json(dialect.error(reply), { status, headers });
  const whole = complete(typeof reply === "string" ? { text: reply } : reply, request.body);
  if (!request.body.stream) {
    let text = "";
    for await (const piece of whole.text) text += piece;
    return Response.json(dialect.reply({ ...whole, text }), { status, headers });
  }
  const all = new Headers(headers);
  all.set("content-type", "text/event-stream");
  return new Response(bytes(events(whole, dialect), request.signal), { status, headers: all });
}

let made = 0;

/** Sets what a reply leaves out. */
function complete(reply, { model }) {
  const { text = [], toolCalls = [], usage, stopReason = toolCalls.length > 0 ? "tool_use" : "end_turn" } = reply;
  return {
    ...reply,
    id: `scripted_${++made}`,
    model,
    text: typeof text === "string" ? [text] : text,
    toolCalls: toolCalls.map((call, i) => ({
      id: call.id ?? `call_${made}_${i}`,
      name: call.name,
      arguments: typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments ?? {}),
    })),
    stopReason,
    usage: { inputTokens: 1, outputTokens: 1, ...usage },
  };
}

async function* events(reply, dialect) {
  yield* dialect.start(reply);
  for await (const piece of reply.text) yield* dialect.text(piece, reply);
  for (const [i, call] of reply.toolCalls.entries()) yield* dialect.toolCall(call, i, reply);
  if (reply.streamError instanceof Error) throw reply.streamError;
  if (reply.streamError) yield dialect.streamError(reply.streamError);
  else yield* dialect.end(reply);
}

function bytes(events, signal) {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      signal?.addEventListener("abort", () => controller.error(signal.reason), { once: true });
    },
    async pull(controller) {
      const { done, value } = await events.next();
      if (signal?.aborted) return;
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    // Not waited for, because it may be in the middle of a silence.
    cancel: () => void events.return(),
  });
}

/** Returns the value of a JSON text, or the text if it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const sse = (data) => `${data.type ? `event: ${data.type}\n` : ""}data: ${JSON.stringify(data)}\n\n`;

const anthropic = {
  error: ({ status, type = ERROR_TYPES[status] ?? "api_error", message = `scripted status ${status}` }) => ({ type: "error", error: { type, message } }),
  reply: ({ id, model, text, toolCalls, stopReason, usage }) => ({
    id,
    type: "message",
    role: "assistant",
    model,
    content: [
      ...(text ? [{ type: "text", text }] : []),
      ...toolCalls.map(({ id, name, arguments: input }) => ({ type: "tool_use", id, name, input: parsed(input) })),
    ],
    stop_reason: stopReason,
    stop_sequence: null,
    usage: { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens },
  }),
  *start(reply) {
    const message = anthropic.reply({ ...reply, text: "", toolCalls: [], stopReason: null });
    yield sse({ type: "message_start", message });
    yield sse({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
  },
  *text(text) {
    yield sse({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
  },
  *toolCall({ id, name, arguments: partial_json }, i) {
    const index = i + 1;
    yield sse({ type: "content_block_start", index, content_block: { type: "tool_use", id, name, input: {} } });
    yield sse({ type: "content_block_delta", index, delta: { type: "input_json_delta", partial_json } });
    yield sse({ type: "content_block_stop", index });
  },
  streamError: ({ type = "api_error", message = "scripted error" }) => sse({ type: "error", error: { type, message } }),
  *end({ stopReason, usage }) {
    yield sse({ type: "content_block_stop", index: 0 });
    yield sse({ type: "message_delta", delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: usage.outputTokens } });
    yield sse({ type: "message_stop" });
  },
};

const openaiUsage = ({ inputTokens, outputTokens }) => ({
  prompt_tokens: inputTokens,
  completion_tokens: outputTokens,
  total_tokens: inputTokens + outputTokens,
});
const openaiCalls = (calls) => calls.map(({ id, name, arguments: text }, index) => ({ index, id, type: "function", function: { name, arguments: text } }));
const chunk = ({ id, model }, delta, finish_reason = null, more = {}) =>
  sse({ id, object: "chat.completion.chunk", model, choices: [{ index: 0, delta, finish_reason }], ...more });

const openai = {
  error: ({ status, type = ERROR_TYPES[status] ?? "server_error", message = `scripted status ${status}`, code = null }) => ({
    error: { message, type, param: null, code },
  }),
  reply: ({ id, model, text, toolCalls, stopReason, usage }) => ({
    id,
    object: "chat.completion",
    model,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: text || null, ...(toolCalls.length > 0 && { tool_calls: openaiCalls(toolCalls) }) },
        finish_reason: OPENAI_STOP[stopReason] ?? stopReason,
      },
    ],
    usage: openaiUsage(usage),
  }),
  *start(reply) {
    yield chunk(reply, { role: "assistant", content: "" });
  },
  *text(content, reply) {
    yield chunk(reply, { content });
  },
  *toolCall(call, index, reply) {
    yield chunk(reply, { tool_calls: [{ ...openaiCalls([call])[0], index }] });
  },
  streamError: ({ type = "server_error", message = "scripted error", code = null }) => sse({ error: { message, type, param: null, code } }),
  *end(reply) {
    yield chunk(reply, {}, OPENAI_STOP[reply.stopReason] ?? reply.stopReason, { usage: openaiUsage(reply.usage) });
    yield "data: [DONE]\n\n";
  },
};

const RESPONSES_REASONS = { max_tokens: "max_output_tokens", refusal: "content_filter" };

/** Returns an item of the Responses API. Its place in the output is that of the reply's text and calls. */
const messageItem = ({ id }, text) => ({ id: `msg_${id}`, type: "message", status: "completed", role: "assistant", content: [{ type: "output_text", text, annotations: [] }] });
const callItem = ({ id, name, arguments: text }) => ({ id: `fc_${id}`, type: "function_call", status: "completed", call_id: id, name, arguments: text });

const responses = {
  error: openai.error,
  reply: ({ id, model, text, toolCalls, stopReason, usage }) => {
    const reason = RESPONSES_REASONS[stopReason];
    return {
      id,
      object: "response",
      model,
      status: reason ? "incomplete" : "completed",
      error: null,
      incomplete_details: reason ? { reason } : null,
      output: [...(text ? [messageItem({ id }, text)] : []), ...toolCalls.map(callItem)],
      usage: { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens, total_tokens: usage.inputTokens + usage.outputTokens },
    };
  },
  *start(reply) {
    const response = { ...responses.reply({ ...reply, text: "", toolCalls: [] }), status: "in_progress", usage: null };
    yield sse({ type: "response.created", response });
  },
  *text(delta) {
    yield sse({ type: "response.output_text.delta", output_index: 0, content_index: 0, delta });
  },
  *toolCall(call, i) {
    const output_index = i + 1;
    const item = callItem(call);
    yield sse({ type: "response.output_item.added", output_index, item: { ...item, status: "in_progress", arguments: "" } });
    yield sse({ type: "response.function_call_arguments.delta", output_index, delta: item.arguments });
    yield sse({ type: "response.output_item.done", output_index, item });
  },
  streamError: ({ type = "server_error", message = "scripted error", code = type }) => sse({ type: "error", code, message, param: null }),
  *end(reply) {
    // The items have come already.
    const response = { ...responses.reply({ ...reply, text: "", toolCalls: [] }), output: [] };
    yield sse({ type: `response.${response.status}`, response });
  },
};
