// Converts between the public JavaScript types and the core's JSON: camelCase, bytes, validators.

import { CALL_OPTIONS, checkFields, failUnknown, show } from "./check.js";
import { fail } from "./errors.js";
import { is } from "./realm.js";
import { converter } from "./reply.js";

const REQUEST = {
  model: (v) => ["model", text("model", v)],
  system: async (v) => ["system", await toContent("system", v)],
  messages: async (v) => ["messages", await toMessages(v)],
  maxTokens: (v) => ["max_tokens", v === 0 ? fail("maxTokens is 0: it must be at least 1") : whole("maxTokens", v)],
  temperature: (v) => ["temperature", number("temperature", v)],
  topP: (v) => ["top_p", number("topP", v)],
  stopSequences: (v) => ["stop_sequences", list("stopSequences", v).map((s, i) => text(`stopSequences[${i}]`, s))],
  tools: (v) => ["tools", list("tools", v).map(toTool)],
  toolChoice: (v) => ["tool_choice", toToolChoice(v)],
  parallelToolCalls: (v) => ["parallel_tool_calls", flag("parallelToolCalls", v)],
  // A function's `name` is its own, not the schema's.
  output: (v) => ["response_format", { name: (typeof v === "object" && v.jsonSchema && v.name) || "output", schema: jsonSchema("output", v) }],
  reasoning: (v) => ["reasoning", toReasoning(v)],
  store: (v) => ["store", flag("store", v)],
  previousResponseId: (v) => ["previous_response_id", text("previousResponseId", v)],
  extraBody: (v) => ["extra_body", typeof v === "object" && !Array.isArray(v) ? v : fail(`extraBody must be an object, got ${kind(v)}`)],
  keepRaw: (v) => ["keep_raw", flag("keepRaw", v)],
};

/** The names of a request's fields. */
export const FIELDS = Object.keys(REQUEST);

/**
 * Converts a request, and what of the call's options the core must know, to the core's JSON. Also returns the function that converts the events
 * of its reply.
 */
export async function toRequest(request, options = {}) {
  const { headers, baseUrl, apiKey, bearerToken, timeoutMs, replyTimeoutMs, poolTimeoutMs, deadlineMs, maxRetries, conversation } = options;
  if (typeof request === "string") request = { messages: [{ role: "user", content: request }] };
  if (request === null || typeof request !== "object" || Array.isArray(request)) fail(`the request must be an object: { messages, … }, got ${kind(request)}`);
  const core = {};
  for (const [name, value] of Object.entries(request)) {
    if (value === undefined) continue;
    const convert = Object.hasOwn(REQUEST, name) ? REQUEST[name] : failUnknown("field of the request", "", name, FIELDS, { "the options of the call, the second argument": Object.keys(CALL_OPTIONS) });
    const [theirs, converted] = await convert(value ?? fail(`${name} is null`));
    core[theirs] = converted;
  }
  // The core says which header's value is not text, without showing it.
  core.options = {
    headers: headers && toHeaders(headers),
    base_url: baseUrl,
    api_key: apiKey,
    bearer_token: typeof bearerToken === "function" ? undefined : bearerToken,
    timeout_ms: wholeMs(timeoutMs),
    reply_timeout_ms: wholeMs(replyTimeoutMs),
    pool_timeout_ms: wholeMs(poolTimeoutMs),
    deadline_ms: wholeMs(deadlineMs),
    retry: maxRetries === undefined ? undefined : { max_retries: maxRetries },
    conversation,
  };
  if (!core.messages) fail("messages is missing from the request");
  try {
    return { json: wellFormed(JSON.stringify(core)), convert: converter(request, core) };
  } catch (error) {
    fail(`the request cannot be written as JSON: ${error.message}`);
  }
}

/**
 * Replaces halves of surrogate pairs, such as text has that was cut within an emoji, by U+FFFD, as every UTF-8 encoder does. In JSON only they
 * are escaped so.
 */
const wellFormed = (json) => (json.includes("\\ud") ? json.replace(/\\(?:ud[89a-f]..|.)/g, (escape) => (escape.length > 2 ? "\ufffd" : escape)) : json);

/** Returns headers as a plain object. They may be a `Headers`. */
export function toHeaders(headers = {}) {
  if (Array.isArray(headers)) fail("headers must be an object or a Headers, got a list");
  const plain = { ...(is(headers, "Headers") ? Object.fromEntries(headers) : headers) };
  // A header's value may be secret.
  for (const [name, value] of Object.entries(plain)) if (value !== undefined) text(`headers[${JSON.stringify(name)}]`, value);
  return plain;
}

/** Returns milliseconds as the core takes them: a whole number, at most a year. */
export const wholeMs = (ms) => (ms === undefined ? undefined : Math.min(Math.ceil(ms), 31_536_000_000));

export function text(name, value) {
  return typeof value === "string" ? value : fail(`${name} must be a string, got ${kind(value)}`);
}

function number(name, value) {
  return typeof value === "number" && Number.isFinite(value) ? value : fail(`${name} must be a number, got ${typeof value === "number" ? value : kind(value)}`);
}

export function whole(name, value) {
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

/** What to do with a message of a role that only the wire format has. */
const HINTS = {
  __proto__: null,
  system: ": put these instructions into the request's system",
  developer: ": put these instructions into the request's system",
  tool: ": a tool's result is a part { type: \"tool_result\", toolUseId, content } of a message of the user's",
};

async function toMessages(messages) {
  return Promise.all(
    list("messages", messages).map(async (message, i) => {
      if (message?.role !== "user" && message?.role !== "assistant") {
        const hint = HINTS[message?.role] ?? "";
        fail(`messages[${i}].role must be "user" or "assistant", got ${show(message?.role)}${hint}`);
      }
      checkFields(`messages[${i}]`, message, ["role", "content"]);
      return { role: message.role, content: await toContent(`messages[${i}].content`, message.content) };
    }),
  );
}

async function toContent(name, content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) fail(`${name} must be a string or a list of parts, got ${kind(content)}`);
  return Promise.all(content.map((part, i) => toPart(`${name}[${i}]`, part)));
}

const PART = {
  text: ["text", "phase", "annotations", "cacheControl"],
  image: ["image", "mediaType", "cacheControl"],
  document: ["document", "mediaType", "title", "cacheControl"],
  // A call in `reply.invalidToolCalls` has an error.
  tool_use: ["id", "name", "arguments", "argumentsText", "custom", "namespace", "caller", "error"],
  tool_result: ["toolUseId", "content", "isError", "cacheControl"],
  reasoning: ["text", "signature", "dialect"],
  redacted_reasoning: ["data"],
  other: ["dialect", "json"],
};

async function toPart(name, part) {
  const { type, cacheControl: cache_control } = part ?? {};
  if (Object.hasOwn(PART, type)) checkFields(name, part, ["type", ...PART[type]]);
  switch (type) {
    case "text":
      return { type, text: text(`${name}.text`, part.text), phase: part.phase, annotations: part.annotations, cache_control };
    case "image":
      return { type, source: await toSource(`${name}.image`, part.image, part.mediaType, "image/png"), cache_control };
    case "document":
      return { type, source: await toSource(`${name}.document`, part.document, part.mediaType, "application/pdf"), title: part.title, cache_control };
    case "tool_use":
      return {
        type,
        id: part.id,
        name: part.name,
        arguments: part.argumentsText ?? toJson(`${name}.arguments`, part.arguments ?? {}),
        custom: part.custom,
        namespace: part.namespace,
        caller: part.caller,
      };
    case "tool_result":
      return {
        type,
        tool_use_id: text(`${name}.toolUseId`, part.toolUseId),
        content: await toContent(`${name}.content`, part.content),
        is_error: part.isError ?? false,
        cache_control,
      };
    case "reasoning":
      return { type, text: part.text, signature: part.signature, dialect: part.dialect };
    case "redacted_reasoning":
      return { type, data: part.data };
    case "other":
      return { type, dialect: part.dialect, json: part.json };
    default:
      return fail(`${name}.type must be one of ${Object.keys(PART).join(", ")}, got ${show(type)}`);
  }
}

function toJson(name, value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    return fail(`${name} cannot be written as JSON: ${error.message}`);
  }
}

// One class of characters, because alternatives overflow the stack of the expression for large images.
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

async function toSource(name, value, mediaType, usual) {
  if (is(value, "URL")) value = value.href;
  if (typeof value === "string") {
    const data = /^data:([^;,]+);base64,(.*)$/s.exec(value);
    if (data) return { type: "base64", media_type: data[1], data: data[2] };
    if (mediaType === "text/plain") return { type: "text", text: value };
    if (URL.canParse(value)) return { type: "url", url: value };
    const data64 = value.replace(/\s/g, "");
    if (data64.length % 4 !== 0 || !BASE64.test(data64)) fail(`${name} must be a URL, a data: URL or base64, got ${JSON.stringify(value.slice(0, 40))}`);
    const start = Uint8Array.from(atob(data64.slice(0, 16)), (char) => char.charCodeAt(0));
    return { type: "base64", media_type: mediaType ?? guess(start) ?? usual, data: data64 };
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

function toReasoning(reasoning) {
  if (typeof reasoning !== "object" || Array.isArray(reasoning)) fail(`reasoning must be an object: { effort } or { budgetTokens }, got ${kind(reasoning)}`);
  checkFields("reasoning", reasoning, ["effort", "budgetTokens"]);
  return { effort: reasoning.effort, budget_tokens: reasoning.budgetTokens };
}

/** Returns the choice as the core reads it. */
function toToolChoice(choice) {
  if (["auto", "any", "none"].includes(choice) || (typeof choice?.tool === "string" && Object.keys(choice).length === 1)) return choice;
  const hint = choice === "required" ? ": \"any\" is what OpenAI calls \"required\"" : "";
  return fail(`toolChoice must be "auto", "any", "none" or { tool: "NAME" }, got ${toJson("toolChoice", choice) ?? kind(choice)}${hint}`);
}

function toTool(tool, i) {
  if (tool?.type === "function") fail(`tools[${i}] is in OpenAI's format: it must be { name, description, input }, as for all providers`);
  const name = text(`tools[${i}].name`, tool?.name);
  // A function, such as one that runs the tool, is the caller's own.
  checkFields(`tools[${i}]`, tool, ["name", "description", "input", "strict", "cacheControl"], (given) => typeof given === "function");
  const schema = jsonSchema(`tools[${i}].input`, tool.input ?? fail(`tools[${i}].input is missing: a JSON schema or a validator`));
  return { name, description: tool.description, input_schema: schema, strict: tool.strict, cache_control: tool.cacheControl };
}

/** Returns a JSON schema unchanged, or the schema that a validator provides (https://standardschema.dev/json-schema). */
function jsonSchema(name, schema) {
  if (schema === null || Array.isArray(schema) || (typeof schema !== "object" && typeof schema !== "function")) {
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
