// Responses as UI message streams, read by the AI SDK's own reader and by `useChat` in a page: `node ai-sdk.mjs TOOLS SIM CHROMIUM`.
import { createServer } from "node:http";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Warmline } from "warmline";
import { scriptedFetch } from "warmline/testing";
import { visitPage } from "./chromium.mjs";
import { equal } from "./expect.js";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const { DefaultChatTransport, readUIMessageStream } = await import(pathToFileURL(require.resolve("ai")).href);

const messages = [{ id: "1", role: "user", parts: [{ type: "text", text: "Hi" }] }];

/** Sends a message as `useChat` does, to a route that answers with a stream, and returns the last state of the answer. */
async function chat(stream, options) {
  const fetch = async () => stream.toResponse({ format: "ui-message-stream", ...options });
  const transport = new DefaultChatTransport({ api: "http://localhost/api/chat", fetch });
  const chunks = await transport.sendMessages({ trigger: "submit-message", chatId: "1", messageId: undefined, messages, abortSignal: undefined });
  const errors = [];
  let message;
  for await (message of readUIMessageStream({ stream: chunks, onError: (error) => errors.push(error), terminateOnError: false }));
  return { message, errors };
}

const client = (replies) => new Warmline({ provider: "anthropic", apiKey: "k", model: "m", fetch: scriptedFetch(replies), maxRetries: 0 });

await test("text", async () => {
  const { message, errors } = await chat(client([{ text: ["Hel", "lo"] }]).stream("Hi"));
  const [step, text] = message.parts;
  equal([step.type, text.type, text.text, text.state, errors.length], ["step-start", "text", "Hello", "done", 0], "the parts");
});

await test("reasoning, text and a tool call from the simulator", async () => {
  const llm = new Warmline({ provider: "anthropic", apiKey: "k", baseUrl: sim });
  const weather = { name: "weather", input: { type: "object", properties: { city: { type: "string" } } } };
  const { message } = await chat(llm.stream({ model: "m", messages: [{ role: "user", content: "Bern" }], tools: [weather], reasoning: { effort: "low" } }));
  const tool = message.parts.find(({ type }) => type === "tool-weather");
  equal([tool?.state, tool?.input], ["input-available", { city: "Bern" }], "the tool's part");
  const reasoning = message.parts.find(({ type }) => type === "reasoning");
  check(reasoning?.state === "done" && reasoning.text.length > 0, JSON.stringify(message.parts));
});

await test("two tool calls, one of them invalid", async () => {
  const input = { jsonSchema: { type: "object" }, validator: { "~standard": { version: 1, vendor: "test", validate: ({ a }) => (a ? { value: { a } } : { issues: [{ message: "no a" }] }) } } };
  const toolCalls = [{ name: "t", arguments: { a: 1 } }, { name: "t", arguments: {} }];
  const llm = client([{ text: "Well", toolCalls }]);
  const { message } = await chat(llm.stream({ messages: [{ role: "user", content: "?" }], tools: [{ name: "t", input }] }), { errorMessage: ({ message }) => message });
  const states = message.parts.filter(({ type }) => type === "tool-t").map(({ state }) => state);
  equal(states, ["input-available", "output-error"], "the states");
  check(message.parts.at(-1).errorText.includes("no a"), JSON.stringify(message.parts));
});

await test("an error in the middle keeps the text, and does not show the provider's message", async () => {
  const { message, errors } = await chat(client([{ text: ["Hello"], streamError: { message: "account 7" } }]).stream("Hi"));
  equal([message.parts[1].text, errors.length], ["Hello", 1], "the text");
  check(!String(errors[0]).includes("account 7"), `${errors[0]}`);
});

await test("an error before the first event is the transport's", async () => {
  let error;
  await chat(client([{ status: 429, message: "account 7" }]).stream("Hi")).catch((thrown) => (error = thrown));
  equal(error?.message, "There are too many requests at the moment. Try again later.", "the error");
});

// A page that uses `useChat`, and a route that answers it.
async function* silent() {
  yield "Hello";
  await new Promise(() => {});
}
const script = scriptedFetch([{ text: ["Hel", "lo you"] }, { status: 401, message: "account 7" }, { text: silent() }]);
const llm = new Warmline({ provider: "anthropic", apiKey: "k", model: "m", fetch: script });
const server = createServer(async (request, response) => {
  const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
  if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  const messages = JSON.parse(body).messages.map(({ role, parts }) => ({ role, content: parts.filter(({ type }) => type === "text").map(({ text }) => ({ type: "text", text })) }));
  const answer = await llm.stream({ messages: messages.filter(({ content }) => content.length > 0) }).toResponse({ format: "ui-message-stream", headers });
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  const reader = answer.body.getReader();
  response.on("close", () => reader.cancel());
  for (let chunk; !(chunk = await reader.read()).done; ) response.write(chunk.value);
  return response.end();
}).listen(0, "127.0.0.1");
await new Promise((listening) => server.once("listening", listening));

const folder = "use-chat";
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/index.html`, '<!doctype html><main></main><script src="./page.js"></script>');
await require("esbuild").build({
  stdin: {
    resolveDir: resolve(tools),
    contents: `
      import { createElement as h } from "react";
      import { createRoot } from "react-dom/client";
      import { useChat } from "@ai-sdk/react";
      import { DefaultChatTransport } from "ai";
      const transport = new DefaultChatTransport({ api: new URLSearchParams(location.search).get("api") });
      function Page() {
        const { messages, sendMessage, stop, status, error } = useChat({ transport });
        globalThis.chat = { sendMessage, stop };
        const texts = messages.map(({ role, parts }) => role + ": " + parts.filter(({ type }) => type === "text").map(({ text }) => text).join(""));
        return h("pre", null, JSON.stringify({ texts, status, error: error?.message }));
      }
      createRoot(document.querySelector("main")).render(h(Page));`,
  },
  bundle: true,
  define: { "process.env.NODE_ENV": '"production"' },
  outfile: `${folder}/page.js`,
  logLevel: "error",
});
const { chromium } = require("playwright-core");
const query = `?api=${encodeURIComponent(`http://127.0.0.1:${server.address().port}/`)}`;
await visitPage({ chromium, executablePath, folder, query }, async (page) => {
  const state = async (condition) => {
    await page.waitForFunction(`(${condition})(JSON.parse(document.querySelector("pre")?.textContent ?? "{}"))`, undefined, { timeout: 10_000 });
    return JSON.parse(await page.textContent("pre"));
  };
  const send = async (text) => {
    await state(({ texts }) => texts !== undefined);
    await page.evaluate((text) => void globalThis.chat.sendMessage({ text }), text);
  };
  await test("useChat shows a reply", async () => {
    await send("Hi");
    const { texts } = await state(({ status, texts }) => status === "ready" && texts.length === 2);
    equal(texts, ["user: Hi", "assistant: Hello you"], "the messages");
  });
  await test("useChat shows a failure", async () => {
    await send("Again");
    const { error } = await state(({ status }) => status === "error");
    equal(error, "The model's reply failed.", "the error");
  });
  await test("useChat's stop() ends the call at the provider", async () => {
    await send("Once more");
    await state(({ texts }) => texts.at(-1) === "assistant: Hello");
    const aborted = new Promise((done) => script.requests.at(-1).signal.addEventListener("abort", done));
    await page.evaluate(() => globalThis.chat.stop());
    await aborted;
    await state(({ status }) => status === "ready");
  });
});
server.closeAllConnections();
server.close();
console.log(JSON.stringify(results));
