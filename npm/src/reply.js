// Converts the core's events to the public types, and validates what the model wrote.

import { DecodeError, toAttempts } from "./errors.js";

/** Returns the function that converts an event of a request's reply. `core` is the request as the core knows it. */
export function converter({ output, tools = [], extraBody }, core) {
  const schemas = new Map(tools.map(({ name, input }, i) => [name, { standard: standardOf(input), schema: core.tools[i].input_schema }]));
  /** Parses and validates the arguments of a tool call. Sets `error` if they are not what the tool takes. */
  const parseCall = async (call) => {
    const wrong = (message, cause) => new DecodeError(`the model called the tool ${JSON.stringify(call.name)}${message}`, { body: call.argumentsText, cause });
    const isJson = parseArguments(call);
    const tool = schemas.get(call.name);
    if (!tool && tools.length > 0 && !extraBody?.tools) call.error = wrong(", which is not one of the request's");
    else if (!isJson) call.error = wrong(" with arguments that are not JSON");
    else {
      const { value, problem, issues } = await validate(tool ?? {}, call.arguments);
      if (problem) call.error = wrong(` with arguments that do not match its schema${problem}`, issues);
      else call.arguments = value;
    }
  };
  return async (event) => {
    if (event.type === "tool_call") {
      await parseCall(event);
      if (event.error) event.type = "invalid_tool_call";
    }
    if (event.type !== "done") return;
    const calls = event.reply.content.filter(({ type }) => type === "tool_use").map((part) => ({ ...part }));
    for (const call of calls) await parseCall(call);
    const reply = (event.reply = toReply(event, calls));
    for (const name of Object.keys(event)) if (name !== "type" && name !== "reply") delete event[name];
    const called = tools.length > 0 && calls.length > 0;
    if (output !== undefined && !called) reply.output = await toOutput(reply, { standard: standardOf(output), schema: core.response_format.schema });
  };
}

/** Returns the Standard Schema of a schema, if it has one (https://standardschema.dev). */
const standardOf = (schema) => (schema.validator ?? schema)["~standard"];

/** Sets `argumentsText` to what the model wrote, and `arguments` to its parsed value. Returns whether it is JSON; if not, `arguments` is the text. */
function parseArguments(call) {
  call.argumentsText = call.arguments;
  try {
    call.arguments = JSON.parse(call.argumentsText);
    return true;
  } catch {
    // The caller can show the text or send it back.
    return false;
  }
}

/** Validates a value, if there is a validator. Returns the validator's value, or its first problem. */
async function validate({ standard, schema }, given) {
  given = withoutNulls(given, schema, schema);
  if (!standard) return { value: given };
  const { value, issues } = await standard.validate(given);
  if (!issues) return { value };
  const { message, path } = issues[0];
  const at = path?.length ? ` at ${path.map((key) => key?.key ?? key).join(".")}` : "";
  return { issues, problem: `${at}: ${message}` };
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

/** Converts the reply of the last event to the public type. */
function toReply(event, calls) {
  const core = event.reply;
  const parts = (type) => core.content.filter((part) => part.type === type);
  // These parts go back to the model, as it wrote them.
  for (const part of parts("tool_use")) parseArguments(part);
  return {
    id: core.id,
    model: core.model,
    provider: core.provider,
    content: core.content,
    text: parts("text").map((part) => part.text).join(""),
    reasoning: parts("reasoning").map((part) => part.text).join(""),
    toolCalls: calls.filter(({ error }) => !error),
    invalidToolCalls: calls.filter(({ error }) => error),
    stopReason: core.stop_reason ?? undefined,
    stopSequence: core.stop_sequence ?? undefined,
    logprobs: core.logprobs ?? [],
    container: core.container,
    usage: toUsage(core.usage),
    usageReported: core.usage_reported,
    requestId: core.request_id ?? undefined,
    cost: event.cost_usd === null ? undefined : { usd: event.cost_usd, estimated: event.cost_estimated },
    attempts: toAttempts(event.attempts),
    timing: { timeToFirstTokenMs: event.time_to_first_token_us / 1000, totalMs: event.total_us / 1000 },
    raw: event.raw ?? undefined,
    message: { role: "assistant", content: core.content },
  };
}

/** Parses and validates the output of a reply. */
async function toOutput(reply, output) {
  const { stopReason, requestId, attempts, text: body } = reply;
  const wrong = (message, cause) => new DecodeError(`${message} (stopReason ${stopReason})`, { requestId, attempts, body, cause });
  let parsed;
  try {
    parsed = JSON.parse(reply.text);
  } catch (error) {
    throw wrong("the reply's text is not JSON", error);
  }
  const { value, problem, issues } = await validate(output, parsed);
  if (problem) throw wrong(`the reply's output does not match its schema${problem}`, issues);
  return value;
}

/**
 * Removes properties that are null where the schema allows them to be absent, but not to be null. In OpenAI's strict mode a model writes null
 * for what it leaves out. `seen` are the schemas that this value has been compared with, because a schema can refer to itself.
 */
function withoutNulls(value, schema, root, depth = 0, seen = new Set()) {
  if (value === null || typeof value !== "object" || typeof schema !== "object" || schema === null || depth > 100 || seen.has(schema)) return value;
  seen.add(schema);
  const same = (value, schema) => withoutNulls(value, schema, root, depth, seen);
  const into = (value, schema) => withoutNulls(value, schema, root, depth + 1);
  if (typeof schema.$ref === "string") value = same(value, target(schema.$ref, root));
  for (const part of [schema.anyOf, schema.oneOf, schema.allOf].flatMap((parts) => parts ?? [])) value = same(value, part);
  if (Array.isArray(value)) return schema.items ? value.map((item) => into(item, schema.items)) : value;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!Object.hasOwn(value, name)) continue;
    if (value[name] === null && !schema.required?.includes(name) && !allowsNull(property, root)) delete value[name];
    else value[name] = into(value[name], property);
  }
  return value;
}

/** Returns what a reference within a schema, such as `#/$defs/City`, refers to. */
function target(ref, root) {
  const names = ref.split("/").slice(1);
  return names.reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
}

function allowsNull(schema, root, seen = new Set()) {
  if (typeof schema !== "object" || schema === null) return true;
  if (seen.has(schema)) return false;
  seen.add(schema);
  const { $ref, type, const: only, enum: values, anyOf, oneOf } = schema;
  if ($ref) return allowsNull(target($ref, root), root, seen);
  const parts = anyOf ?? oneOf;
  if (parts) return parts.some((part) => allowsNull(part, root, seen));
  if (values) return values.includes(null);
  if ("const" in schema) return only === null;
  return type === undefined || [type].flat().includes("null");
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
