// The official clients and curl through `warmline serve`, unchanged.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { equal } from "./expect.js";
import { check, results, serve, test } from "./outcomes.mjs";

const [tools, sim, native] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));

const env = { PATH: process.env.PATH, ANTHROPIC_API_KEY: "sk-ant-secret-0001", OPENAI_API_KEY: "sk-secret-0001", ANTHROPIC_BASE_URL: sim, OPENAI_BASE_URL: `${sim}/v1` };
const { gateway, url } = await serve(native, [], { env });

const { default: Anthropic } = await import(require.resolve("@anthropic-ai/sdk"));
const { default: OpenAI } = await import(require.resolve("openai"));
const anthropic = new Anthropic({ apiKey: "unused", baseURL: url, maxRetries: 2 });
const openai = new OpenAI({ apiKey: "unused", baseURL: `${url}/v1`, maxRetries: 2 });
const messages = [{ role: "user", content: "Grüezi" }];

await test("@anthropic-ai/sdk, whole and streamed", async () => {
  const whole = await anthropic.messages.create({ model: "m", max_tokens: 200, messages });
  check(whole.content[0].text.startsWith("You said: “Grüezi”"), JSON.stringify(whole));
  check(whole._request_id?.startsWith("req_"), "the request's id");
  const stream = anthropic.messages.stream({ model: "m", max_tokens: 200, messages });
  let text = "";
  stream.on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  equal([final.content[0].text, text], [whole.content[0].text, whole.content[0].text], "the texts");
  equal(final.usage.output_tokens, whole.usage.output_tokens, "the tokens");
});

await test("openai, whole and streamed", async () => {
  const whole = await openai.chat.completions.create({ model: "m", messages });
  check(whole.choices[0].message.content.startsWith("You said: “Grüezi”"), JSON.stringify(whole));
  for (const stream_options of [undefined, { include_usage: true }]) {
    let text = "";
    let usage;
    for await (const chunk of await openai.chat.completions.create({ model: "m", messages, stream: true, stream_options })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage ??= chunk.usage;
    }
    equal(text, whole.choices[0].message.content, "the text");
    equal(usage?.completion_tokens, stream_options && whole.usage.completion_tokens, "the usage, where it was asked for");
  }
});

await test("their errors, tried again here and not by them", async () => {
  const before = (await (await fetch(`${sim}/sim/stats`)).json()).requests;
  const [theirs, ours] = await Promise.all([
    anthropic.messages.create({ model: "m?status=529&retry-after-ms=1&times=100", max_tokens: 9, messages }).catch((error) => error),
    openai.chat.completions.create({ model: "m?status=401", messages }).catch((error) => error),
  ]);
  equal([theirs.status, theirs.error?.error?.type], [529, "overloaded_error"], `${theirs}`);
  equal([ours.status, ours.constructor.name], [401, "AuthenticationError"], `${ours}`);
  const requests = (await (await fetch(`${sim}/sim/stats`)).json()).requests - before;
  equal(requests, 4 + 1, "requests at the provider");
});

await test("curl, whole and streamed", async () => {
  const curl = async (path, body) => (await promisify(execFile)("curl", ["-sN", `${url}${path}`, "-H", "content-type: application/json", "-d", JSON.stringify(body)])).stdout;
  const whole = JSON.parse(await curl("/v1/messages", { model: "m", max_tokens: 50, messages }));
  equal(whole.type, "message", "the type");
  const stream = await curl("/v1/chat/completions", { model: "m", messages, stream: true });
  check(stream.endsWith("data: [DONE]\n\n"), stream.slice(-200));
});

gateway.kill("SIGTERM");
equal(await new Promise((ended) => gateway.once("exit", ended)), 0, "how the gateway ended");
console.log(JSON.stringify(results));
