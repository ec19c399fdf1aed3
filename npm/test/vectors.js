// Runs one case of tests/vectors through a fetch that answers as the case says.
import { check, equal } from "./expect.js";

const encoder = new TextEncoder();

export async function runVector({ Warmline }, vector) {
  const nothing = { status: 400, headers: {} };
  const response = vector.response ?? nothing;
  const whole = chunksOf(response);
  const cuts = [whole];
  if (vector.stream && vector.response) {
    const bytes = concat(whole);
    cuts.push([...bytes].map((byte) => Uint8Array.of(byte)), [bytes]);
  }
  for (const chunks of cuts) {
    const arrived = [];
    const outcome = { events: [] };
    let llm;
    try {
      llm = new Warmline({
        provider: vector.provider,
        ...clientOptions(vector),
        maxRetries: 0,
        dangerouslyAllowBrowser: true,
        fetch: async (url, init) => {
          const body = init.body && JSON.parse(new TextDecoder().decode(init.body));
          arrived.push({ url, method: init.method, headers: init.headers, body });
          return answer(response, chunks);
        },
      });
      const { options, ...request } = vector.request ? camelRequest(vector.request) : {};
      const callOptions = options && { headers: options.headers, baseUrl: options.base_url?.replace("SERVER", SERVER) };
      if (vector.call === "count_tokens") {
        outcome.count = snakeFields(await llm.countTokens(request));
      } else if (vector.call === "models") {
        outcome.models = (await llm.models()).map(snakeFields);
      } else if (vector.stream) {
        for await (const event of llm.stream(request, callOptions)) {
          outcome.events.push(snakeEvent(event));
          if (event.type === "done") outcome.cost = event.reply.cost;
          if (event.type === "done") outcome.reply = snakeReply(event.reply);
        }
      } else {
        const reply = await llm.chat(request, callOptions);
        outcome.cost = reply.cost;
        outcome.reply = snakeReply(reply);
      }
    } catch (error) {
      outcome.error = error;
    }
    compare(vector, outcome, arrived.at(-1));
    llm?.close();
  }
}

const SERVER = "http://vectors.invalid";

/** The client's options: a key and a server of the tests', unless the vector says otherwise or is about the provider's own address. */
function clientOptions({ client = {}, sent }) {
  const options = { apiKey: "test-key", baseUrl: sent?.url ? undefined : `${SERVER}/v1` };
  for (const [name, value] of Object.entries(client)) options[camel(name)] = value.replace("SERVER", SERVER);
  if (options.bearerToken) delete options.apiKey;
  return options;
}

function chunksOf({ body, chunks = [], base64 }) {
  if (base64) return [bytesOf(base64)];
  if (body === undefined || body === null) return chunks.map((chunk) => encoder.encode(chunk));
  return [encoder.encode(typeof body === "string" ? body : JSON.stringify(body))];
}

function concat(chunks) {
  const whole = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function answer({ status, headers }, chunks) {
  const left = chunks.filter((chunk) => chunk.length > 0);
  const body = new ReadableStream({
    pull(controller) {
      const chunk = left.shift();
      if (chunk) controller.enqueue(chunk);
      else controller.close();
    },
  });
  return new Response(body, { status, headers });
}

function compare(vector, outcome, arrived) {
  const { sent, error: failure } = vector;
  if (sent) {
    check(arrived, `nothing was sent: ${outcome.error}`);
    const { pathname, search } = new URL(arrived.url);
    // Without a base URL, the whole address is the provider's own.
    if (sent.url) equal(arrived.url, sent.url, "the address");
    else check(pathname + search === sent.path, `the path is ${arrived.url}`);
    for (const name of sent.without_headers ?? []) check(!(name in arrived.headers), `there is the header ${name}`);
    equal(arrived.method.toLowerCase(), sent.method ?? "post", "the method");
    equal(sorted(arrived.body ?? null), sorted(sent.body ?? null), "the body");
    for (const [name, value] of Object.entries(sent.headers ?? {})) equal(arrived.headers[name], value, name);
    return;
  }
  if (!failure && outcome.error) throw outcome.error;
  if (failure) checkError(failure, outcome.error);
  if (vector.events) within(vector.events, outcome.events, "events");
  if (vector.reply) within(vector.reply, outcome.reply, "reply");
  if (vector.cost) within(vector.cost, outcome.cost, "cost");
  if (vector.models) within(vector.models, outcome.models, "models");
  if (vector.count) within(vector.count, outcome.count, "count");
}

export function checkError({ says, ...fields }, error) {
  check(error, "it did not fail");
  const actual = {
    kind: error.kind,
    status: error.status ?? null,
    code: error.code ?? null,
    request_id: error.requestId ?? null,
    retry_after_ms: error.retryAfterMs ?? null,
  };
  within(fields, actual, `the error (${error})`);
  // Messages of the package name settings as it spells them.
  check(!says || [says, camel(says)].some((text) => error.message.includes(text)), `the error does not say ${JSON.stringify(says)}: ${error.message}`);
}

/** Objects may have more fields than expected, lists must be as long. */
export function within(expected, actual, at) {
  if (Array.isArray(expected)) {
    check(Array.isArray(actual) && actual.length === expected.length, `${at} is ${JSON.stringify(actual)} and not ${JSON.stringify(expected)}`);
    expected.forEach((value, i) => within(value, actual[i], `${at}[${i}]`));
  } else if (expected !== null && typeof expected === "object") {
    for (const [name, value] of Object.entries(expected)) within(value, actual?.[name], `${at}.${name}`);
  } else {
    equal(actual ?? null, expected, at);
  }
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sorted(v)]));
}

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

export function camelRequest({ response_format, tools, ...request }) {
  const result = {};
  for (const [name, value] of Object.entries(request)) result[camel(name)] = value;
  if (request.system) result.system = camelParts(request.system);
  result.messages = request.messages.map((message) => ({ ...message, content: camelParts(message.content) }));
  if (response_format) result.output = { name: response_format.name, jsonSchema: response_format.schema };
  if (tools) result.tools = tools.map(({ input_schema, cache_control, ...tool }) => ({ ...tool, input: input_schema, cacheControl: cache_control }));
  if (request.reasoning) result.reasoning = { effort: request.reasoning.effort, budgetTokens: request.reasoning.budget_tokens };
  return result;
}

function camelParts(content) {
  if (typeof content === "string") return content;
  return content.map(({ source, tool_use_id, is_error, cache_control, ...part }) => {
    if (cache_control) part.cacheControl = cache_control;
    if (source?.type === "base64") Object.assign(part, { [part.type]: bytesOf(source.data), mediaType: source.media_type });
    if (source?.type === "url") part[part.type] = new URL(source.url);
    if (source?.type === "text") Object.assign(part, { [part.type]: source.text, mediaType: "text/plain" });
    if (tool_use_id) Object.assign(part, { toolUseId: tool_use_id, isError: is_error, content: camelParts(part.content) });
    if (part.type === "tool_use") part.argumentsText = part.arguments;
    return part;
  });
}

export const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

const snakeFields = (object) => Object.fromEntries(Object.entries(object).map(([name, value]) => [snake(name), value]));

function snakeEvent(event) {
  if (event.type === "tool_call") return { ...event, arguments: event.argumentsText };
  return event.type === "done" ? { ...event, reply: snakeReply(event.reply) } : event;
}

export function snakeReply(reply) {
  const result = {};
  for (const [name, value] of Object.entries(reply)) result[snake(name)] = value;
  result.usage = {};
  for (const [name, value] of Object.entries(reply.usage)) result.usage[snake(name).replace("1h", "_1h")] = value;
  result.content = reply.content.map((part) => (part.type === "tool_use" ? { ...part, arguments: part.argumentsText } : part));
  return result;
}
