// The official clients in a page of another origin than the gateway, in Chromium: `node serve-page.mjs TOOLS SIM NATIVE CHROMIUM`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { visitPage } from "./chromium.mjs";
import { equal } from "./expect.js";
import { check, results, serve, test } from "./outcomes.mjs";

const [tools, sim, native, executablePath] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const { chromium } = require("playwright-core");
const esbuild = require("esbuild");

const folder = mkdtempSync(join(tmpdir(), "warmline-page-"));
const page = `
  import Anthropic from "@anthropic-ai/sdk";
  import OpenAI from "openai";
  const messages = [{ role: "user", content: "Grüezi" }];
  globalThis.ask = async (url, apiKey) => {
    const options = { apiKey, dangerouslyAllowBrowser: true, maxRetries: 0 };
    // Callers write base URLs with /v1 and without it.
    const [anthropic, ...openais] = [new Anthropic({ ...options, baseURL: url }), new OpenAI({ ...options, baseURL: url + "/v1" }), new OpenAI({ ...options, baseURL: url })];
    const texts = [];
    const whole = await anthropic.messages.create({ model: "m", max_tokens: 200, messages });
    texts.push([whole.content[0].text, whole._request_id]);
    const stream = anthropic.messages.stream({ model: "m", max_tokens: 200, messages });
    texts.push([await stream.finalText(), stream.request_id]);
    for (const openai of openais) {
      const whole = await openai.chat.completions.create({ model: "m", messages });
      texts.push([whole.choices[0].message.content, whole._request_id]);
      let text = "";
      const { data: stream, request_id } = await openai.chat.completions.create({ model: "m", messages, stream: true }).withResponse();
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      texts.push([text, request_id]);
    }
    return texts;
  };
  // With a status, the page could read the error of the gateway.
  globalThis.fails = (url, apiKey) => globalThis.ask(url, apiKey).then(() => "answered", ({ constructor, status }) => [constructor.name, status]);
`;
await esbuild.build({
  stdin: { contents: page, resolveDir: tools },
  bundle: true,
  format: "esm",
  platform: "browser",
  keepNames: true,
  outfile: join(folder, "page.js"),
});
writeFileSync(join(folder, "index.html"), `<!doctype html><title>A page</title><script type="module" src="page.js"></script>`);
writeFileSync(join(folder, "keys.json"), JSON.stringify([{ name: "page", key: "page-key-0123456789" }]));

const env = { PATH: process.env.PATH, ANTHROPIC_API_KEY: "sk-ant-secret-0001", OPENAI_API_KEY: "sk-secret-0001", ANTHROPIC_BASE_URL: sim, OPENAI_BASE_URL: `${sim}/v1` };

await visitPage({ chromium, executablePath, folder }, async (page) => {
  const { origin } = new URL(page.url());
  await page.waitForFunction(() => globalThis.ask);
  for (const [what, key, args] of [
    ["without keys", "unused", []],
    ["with keys", "page-key-0123456789", ["--keys", join(folder, "keys.json")]],
  ]) {
    const { gateway, url } = await serve(native, ["--allow-origin", origin, ...args], { env });
    await test(`the official clients call and read from a page of an allowed origin, ${what}`, async () => {
      const texts = await page.evaluate(([url, key]) => globalThis.ask(url, key), [url, key]);
      equal(texts.length, 6, "the replies");
      for (const [text, id] of texts) check(text.startsWith("You said: “Grüezi”") && id, JSON.stringify(texts));
    });
    if (args.length) {
      await test("a page reads why its key is refused", async () => {
        equal(await page.evaluate((url) => globalThis.fails(url, "wrong"), url), ["AuthenticationError", 401], "the error");
      });
    }
    gateway.kill("SIGTERM");
  }
  const { gateway, url } = await serve(native, ["--allow-origin", "https://example.com"], { env });
  await test("a page of another origin can neither call nor read", async () => {
    const before = (await (await fetch(`${sim}/sim/stats`)).json()).requests;
    equal((await page.evaluate((url) => globalThis.fails(url, "unused"), url))[0], "APIConnectionError", "the error");
    equal((await (await fetch(`${sim}/sim/stats`)).json()).requests, before, "requests at the provider");
  });
  gateway.kill("SIGTERM");
});

rmSync(folder, { recursive: true });
console.log(JSON.stringify(results));
