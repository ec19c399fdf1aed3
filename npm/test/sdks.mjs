// The official SDKs and the AI SDK before `warmline serve --simulate`, unchanged, with their tool runners: `node sdks.mjs TOOLS SIM NATIVE`.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { equal } from "./expect.js";
import { check, results, serve, test } from "./outcomes.mjs";

const [tools, , native] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { gateway, url } = await serve(native, ["--simulate", "--budget", "none"], { env: { PATH: process.env.PATH } });

const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { generateText, streamText, stepCountIs, tool } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { z } = await load("zod");

const openai = new OpenAI({ apiKey: "unused", baseURL: `${url}/v1` });
const anthropic = new Anthropic({ apiKey: "unused", baseURL: url });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const messages = [{ role: "user", content: "Bern" }];
const weather = ({ city }) => `snow in ${city}`;
const said = (text) => check(text.includes("The tool says: snow in Bern"), text);

await test("openai: a response, whole and streamed", async () => {
  const whole = await openai.responses.create({ model: "gpt-4.1", input: "Grüezi", store: false });
  check(whole.output_text.startsWith("You said: “Grüezi”"), whole.output_text);
  const stream = openai.responses.stream({ model: "gpt-4.1", input: "Grüezi", store: false });
  let text = "";
  stream.on("response.output_text.delta", ({ delta }) => (text += delta));
  const final = await stream.finalResponse();
  equal([final.output_text, text], [whole.output_text, whole.output_text], "the texts");
  equal(final.usage.output_tokens, whole.usage.output_tokens, "the tokens");
});

await test("openai: a conversation of responses, whose items go back as they came", async () => {
  const request = {
    model: "gpt-5.4",
    store: false,
    include: ["reasoning.encrypted_content"],
    reasoning: { effort: "low" },
    tools: [{ type: "function", name: "weather", parameters, strict: true }],
  };
  const input = [{ role: "user", content: "Bern" }];
  const first = await openai.responses.create({ ...request, input });
  const call = first.output.find(({ type }) => type === "function_call");
  input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output: weather(JSON.parse(call.arguments)) });
  const second = await openai.responses.create({ ...request, input });
  said(second.output_text);
  const { input_tokens } = await openai.responses.inputTokens.count({ model: "gpt-5.4", input });
  check(input_tokens > 10, `${input_tokens} tokens`);
});

await test("openai: the tool runner of chat completions, whole and streamed", async () => {
  const runnable = { type: "function", function: { name: "weather", parameters, parse: JSON.parse, function: weather } };
  const whole = openai.chat.completions.runTools({ model: "gpt-4.1", messages, tools: [runnable] });
  said(await whole.finalContent());
  const stream = openai.chat.completions.runTools({ model: "gpt-4.1", messages, tools: [runnable], stream: true });
  said(await stream.finalContent());
});

await test("@anthropic-ai/sdk: the tool runner, whole and streamed", async () => {
  const runnable = { type: "custom", name: "weather", input_schema: parameters, parse: (input) => input, run: weather };
  const request = () => ({ model: "claude-sonnet-4-5", max_tokens: 1000, messages: [...messages], tools: [runnable] });
  const final = await anthropic.beta.messages.toolRunner(request());
  said(final.content.at(-1).text);
  let last;
  for await (const stream of anthropic.beta.messages.toolRunner({ ...request(), stream: true })) last = await stream.finalMessage();
  said(last.content.at(-1).text);
});

await test("both: models and counts", async () => {
  const theirs = [];
  for await (const model of anthropic.models.list({ limit: 2 })) theirs.push(model.id);
  const ours = [];
  for await (const model of openai.models.list()) ours.push(model.id);
  equal(theirs, ours, "the models");
  check(theirs.includes("claude-sonnet-4-5") && theirs.includes("gpt-4.1"), `${theirs}`);
  equal((await anthropic.models.retrieve("gpt-4.1")).type, "model", "the type");
  equal((await openai.models.retrieve("claude-sonnet-4-5")).object, "model", "the object");
  const missing = await openai.models.retrieve("missing").catch((error) => error);
  equal([missing.status, missing.constructor.name], [404, "NotFoundError"], `${missing}`);
  const request = { model: "claude-sonnet-4-5", messages };
  const counts = await Promise.all(Array.from({ length: 50 }, () => anthropic.messages.countTokens(request)));
  check(counts.every(({ input_tokens }) => input_tokens > 0), JSON.stringify(counts[0]));
  const beta = await anthropic.beta.messages.countTokens(request);
  equal(beta.input_tokens, counts[0].input_tokens, "the count of ?beta=true");
});

await test("both: an endpoint that the gateway does not know", async () => {
  const error = await openai.embeddings.create({ model: "m", input: "x" }).catch((error) => error);
  equal(error.status, 404, `${error}`);
  check(error.message.includes("Invalid URL (POST /v1/embeddings)"), error.message);
  const batches = await anthropic.messages.batches.list().catch((error) => error);
  check(batches.message.includes("/v1/messages/batches"), `${batches}`);
});

const providers = {
  "@ai-sdk/openai, responses": createOpenAI({ apiKey: "unused", baseURL: `${url}/v1` }).responses("gpt-4.1"),
  "@ai-sdk/openai, chat": createOpenAI({ apiKey: "unused", baseURL: `${url}/v1` }).chat("gpt-4.1"),
  "@ai-sdk/anthropic": createAnthropic({ apiKey: "unused", baseURL: `${url}/v1` })("claude-sonnet-4-5"),
};
for (const [name, model] of Object.entries(providers)) {
  const request = {
    model,
    prompt: "Bern",
    tools: { weather: tool({ inputSchema: z.object({ city: z.string() }), execute: weather }) },
    stopWhen: stepCountIs(3),
  };
  await test(`ai with ${name}: steps with a tool, whole and streamed`, async () => {
    const { text, steps } = await generateText(request);
    said(text);
    equal(steps.length, 2, "the steps");
    const stream = streamText({ ...request, onError: () => {} });
    let streamed = "";
    for await (const piece of stream.textStream) streamed += piece;
    said(streamed);
    check((await stream.totalUsage).outputTokens > 0, "no usage");
  });
}

gateway.kill("SIGTERM");
equal(await new Promise((ended) => gateway.once("exit", ended)), 0, "how the gateway ended");
console.log(JSON.stringify(results));
