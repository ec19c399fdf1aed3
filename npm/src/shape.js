// Converts between the public JavaScript types and the core's JSON: camelCase, bytes, validators.

import { DecodeError, fail, toAttempts } from "./errors.js";
import { is } from "./realm.js";

const REQUEST = {
  model: (v) => ["model", text("model", v)],
  system: async (v) => ["system", await toContent("system", v)],
  messages: async (v) => ["messages", await toMessages(v)],
  maxTokens: (v) => ["max_tokens", whole("maxTokens", v)],
  temperature: (v) => ["temperature", number("temperature", v)],
  topP: (v) => ["top_p", number("topP", v)],
  stopSequences: (v) => ["stop_sequences", list("stopSequences", v).map((s, i) => text(`stopSequences[${i}]`, s))],
  tools: (v) => ["tools", list("tools", v).map(toTool)],
  toolChoice: (v) => ["tool_choice", v],
  parallelToolCalls: (v) => ["parallel_tool_calls", flag("parallelToolCalls", v)],
  // A function's `name` is its own, not the schema's.
  output: (v) => ["response_format", { name: (typeof v === "object" && v.jsonSchema && v.name) || "output", schema: jsonSchema("output", v) }],
  reasoning: (v) => ["reasoning", { effort: v.effort, budget_tokens: v.budgetTokens }],
  extraBody: (v) => ["extra_body", v],
  keepRaw: (v) => ["keep_raw", flag("keepRaw", v)],
};

/** Converts a request, and what of the call's options the core must know, to the core's JSON. Also returns the schema that validates the output. */
export async function toRequest(request, options = {}) {
  const { headers, maxRetries, bearerToken } = options;
  if (typeof request === "string") request = { messages: [{ role: "user", content: request }] };
  if (request === null || typeof request !== "object") fail("the request must be an object: { messages, … }");
  const core = {};
  for (const [name, value] of Object.entries(request)) {
    if (value === undefined) continue;
    const convert = Object.hasOwn(REQUEST, name) ? REQUEST[name] : fail(`unknown field ${JSON.stringify(name)} in the request`);
    const [theirs, converted] = await convert(value ?? fail(`${name} is null`));
    core[theirs] = converted;
  }
  if (headers !== undefined && (headers === null || typeof headers !== "object")) fail(`headers must be an object, got ${kind(headers)}`);
  // The core says which header's value is not text, without showing it.
  core.options = {
    headers,
    base_url: given(text, "baseUrl", options),
    api_key: given(text, "apiKey", options),
    bearer_token: typeof bearerToken === "function" ? undefined : given(text, "bearerToken", options),
    timeout_ms: given(number, "timeoutMs", options),
    reply_timeout_ms: given(number, "replyTimeoutMs", options),
    pool_timeout_ms: given(number, "poolTimeoutMs", options),
    deadline_ms: given(number, "deadlineMs", options),
    retry: maxRetries === undefined ? undefined : { max_retries: whole("maxRetries", maxRetries) },
  };
  if (!core.messages) fail("messages is missing from the request");
  try {
    return { json: JSON.stringify(core), output: request.output };
  } catch (error) {
    fail(`the request cannot be written as JSON: ${error.message}`);
  }
}

const given = (check, name, options) => (options[name] === undefined ? undefined : check(name, options[name]));

function text(name, value) {
  return typeof value === "string" ? value : fail(`${name} must be a string, got ${kind(value)}`);
}

function number(name, value) {
  return typeof value === "number" && Number.isFinite(value) ? value : fail(`${name} must be a number, got ${kind(value)}`);
}

function whole(name, value) {
  const fits = Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
  return fits ? value : fail(`${name} must be a whole number, got ${typeof value === "number" ? value : kind(value)}`);
}

function flag(name, value) {
  return typeof value === "boolean" ? value : fail(`${name} must be true or false, got ${kind(value)}`);
}

function list(name, value) {
  return Array.isArray(value) ? value : fail(`${name} must be a list, got ${kind(value)}`);
}

const kind = (value) => (value === null ? "null" : Array.isArray(value) ? "a list" : typeof value);

async function toMessages(messages) {
  return Promise.all(
    list("messages", messages).map(async (message, i) => {
      if (message?.role !== "user" && message?.role !== "assistant") {
        fail(`messages[${i}].role must be "user" or "assistant", got ${JSON.stringify(message?.role)}`);
      }
      return { role: message.role, content: await toContent(`messages[${i}].content`, message.content) };
    }),
  );
}

async function toContent(name, content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) fail(`${name} must be a string or a list of parts, got ${kind(content)}`);
  return Promise.all(content.map((part, i) => toPart(`${name}[${i}]`, part)));
}

async function toPart(name, part) {
  const { type, cacheControl: cache_control } = part ?? {};
  switch (type) {
    case "text":
      return { type, text: text(`${name}.text`, part.text), annotations: part.annotations, cache_control };
    case "image":
      return { type, source: await toSource(`${name}.image`, part.image, part.mediaType, "image/png"), cache_control };
    case "document":
      return { type, source: await toSource(`${name}.document`, part.document, part.mediaType, "application/pdf"), title: part.title, cache_control };
    case "tool_use":
      return { type, id: part.id, name: part.name, arguments: part.argumentsText ?? JSON.stringify(part.arguments ?? {}) };
    case "tool_result":
      return {
        type,
        tool_use_id: text(`${name}.toolUseId`, part.toolUseId),
        content: await toContent(`${name}.content`, part.content),
        is_error: part.isError ?? false,
        cache_control,
      };
    case "reasoning":
      return { type, text: part.text, signature: part.signature };
    case "redacted_reasoning":
      return { type, data: part.data };
    case "other":
      return { type, dialect: part.dialect, json: part.json };
    default:
      return fail(`${name}.type is ${JSON.stringify(type)}: it must be text, image, document, tool_use, tool_result, reasoning, redacted_reasoning or other`);
  }
}

async function toSource(name, value, mediaType, usual) {
  if (is(value, "URL")) value = value.href;
  if (typeof value === "string") {
    const data = /^data:([^;,]+);base64,(.*)$/s.exec(value);
    if (data) return { type: "base64", media_type: data[1], data: data[2] };
    if (mediaType === "text/plain") return { type: "text", text: value };
    return { type: "url", url: value };
  }
  if (is(value, "Blob") || is(value, "File")) {
    mediaType ??= value.type || undefined;
    value = await value.arrayBuffer();
  }
  if (is(value, "ArrayBuffer")) value = new Uint8Array(value);
  if (!is(value, "Uint8Array")) fail(`${name} must be a Uint8Array, an ArrayBuffer, a Blob, a URL or a string, got ${kind(value)}`);
  return { type: "base64", media_type: mediaType ?? guess(value) ?? usual, data: toBase64(value) };
}

/** Returns the media type that the first bytes indicate. */
function guess(bytes) {
  const starts = (...magic) => magic.every((byte, i) => byte < 0 || bytes[i] === byte);
  if (starts(0x89, 0x50, 0x4e, 0x47)) return "image/png";
  if (starts(0xff, 0xd8, 0xff)) return "image/jpeg";
  if (starts(0x47, 0x49, 0x46)) return "image/gif";
  if (starts(0x52, 0x49, 0x46, 0x46, -1, -1, -1, -1, 0x57, 0x45, 0x42, 0x50)) return "image/webp";
  if (starts(0x25, 0x50, 0x44, 0x46)) return "application/pdf";
  return undefined;
}

function toBase64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

function toTool(tool, i) {
  const name = text(`tools[${i}].name`, tool?.name);
  const schema = jsonSchema(`tools[${i}].input`, tool.input ?? fail(`tools[${i}].input is missing: a JSON schema or a validator`));
  return { name, description: tool.description, input_schema: schema, strict: tool.strict, cache_control: tool.cacheControl };
}

/** Returns a JSON schema unchanged, or the schema that a validator provides (https://standardschema.dev/json-schema). */
function jsonSchema(name, schema) {
  if (schema === null || (typeof schema !== "object" && typeof schema !== "function")) {
    fail(`${name} must be a JSON schema or a validator, got ${kind(schema)}`);
  }
  if (schema.jsonSchema) return schema.jsonSchema;
  const standard = schema["~standard"];
  if (!standard) return schema;
  if (!standard.jsonSchema) {
    fail(`${name}: this ${standard.vendor} validator provides no JSON schema: pass { jsonSchema, validator } instead`);
  }
  const { $schema, ...rest } = standard.jsonSchema.input({ target: "draft-2020-12" });
  return rest;
}

/** Converts the core's events to the public types. */
export function toEvents(events) {
  for (const event of events) if (event.type === "tool_call") parseArguments(event);
  return events;
}

/** Sets `argumentsText` to what the model wrote, and `arguments` to its parsed value, or to the text if it is not JSON. */
function parseArguments(call) {
  call.argumentsText = call.arguments;
  try {
    call.arguments = JSON.parse(call.argumentsText);
  } catch {
    // Keep the text, so the caller can show it or send it back.
  }
}

const USAGE = {
  input_tokens: "inputTokens",
  output_tokens: "outputTokens",
  cache_read_tokens: "cacheReadTokens",
  cache_write_tokens: "cacheWriteTokens",
  cache_write_1h_tokens: "cacheWrite1hTokens",
  reasoning_tokens: "reasoningTokens",
  audio_input_tokens: "audioInputTokens",
  audio_output_tokens: "audioOutputTokens",
  web_search_requests: "webSearchRequests",
  input_includes_cache: "inputIncludesCache",
};

/** Converts the reply of the last event to the public type, and validates its output. */
export async function toReply(event, output) {
  const { reply: core, attempts } = event;
  const parts = (type) => core.content.filter((part) => part.type === type);
  for (const call of parts("tool_use")) parseArguments(call);
  const usage = toUsage(core.usage);
  event.reply = {
    id: core.id,
    model: core.model,
    provider: core.provider,
    content: core.content,
    text: parts("text").map((part) => part.text).join(""),
    reasoning: parts("reasoning").map((part) => part.text).join(""),
    toolCalls: parts("tool_use"),
    stopReason: core.stop_reason ?? undefined,
    stopSequence: core.stop_sequence ?? undefined,
    logprobs: core.logprobs ?? [],
    container: core.container,
    usage,
    usageReported: core.usage_reported,
    requestId: core.request_id ?? undefined,
    cost: event.cost_usd === null ? undefined : { usd: event.cost_usd, estimated: event.cost_estimated },
    attempts: toAttempts(event.attempts),
    timing: { timeToFirstTokenMs: event.time_to_first_token_us / 1000, totalMs: event.total_us / 1000 },
    raw: event.raw ?? undefined,
    message: { role: "assistant", content: core.content },
  };
  for (const name of ["attempts", "cost_usd", "cost_estimated", "time_to_first_token_us", "total_us", "raw"]) delete event[name];
  if (output !== undefined && event.reply.toolCalls.length === 0) event.reply.output = await validate(event.reply, output, attempts);
}

async function validate(reply, output, attempts) {
  const wrong = (message, cause) =>
    new DecodeError({ kind: "decode", message: `${message} (stopReason ${reply.stopReason})`, request_id: reply.requestId, attempts, body: reply.text }, cause);
  let value;
  try {
    value = JSON.parse(reply.text);
  } catch (error) {
    throw wrong("the reply's text is not JSON", error);
  }
  const standard = (output.validator ?? output)["~standard"];
  if (!standard) return value;
  const result = await standard.validate(value);
  if (!result.issues) return result.value;
  const { message, path } = result.issues[0];
  const at = path?.length ? ` at ${path.map((key) => key?.key ?? key).join(".")}` : "";
  throw wrong(`the reply's output does not match its schema${at}: ${message}`, result.issues);
}

function toUsage(core) {
  const usage = {};
  for (const [theirs, ours] of Object.entries(USAGE)) usage[ours] = core[theirs] ?? 0;
  return usage;
}

/** Converts the core's spend to the public type. */
export function toSpend(spend) {
  return { ...spend, models: spend.models.map((model) => ({ ...model, usage: toUsage(model.usage) })) };
}
