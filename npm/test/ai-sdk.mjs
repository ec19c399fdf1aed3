// Responses as UI message streams, read by the AI SDK's own reader: `node ai-sdk.mjs TOOLS SIM`.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Warmline } from "warmline";
import { scriptedFetch } from "warmline/testing";
import { equal } from "./expect.js";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim] = process.argv.slice(2);
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

console.log(JSON.stringify(results));
