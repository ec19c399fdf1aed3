// The demo page in Chromium, at both widths and in both themes: every button, no console error, nothing that axe objects to.
// `node demo.mjs TOOLS NATIVE CHROMIUM SITE [PICTURES]`: with PICTURES, what was seen is kept there.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { launch } from "./chromium.mjs";
import { check, results, serve, test } from "./outcomes.mjs";

const [tools, native, executablePath, site, pictures] = process.argv.slice(2);
const require = createRequire(resolve(tools, "package.json"));
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");

const env = { PATH: process.env.PATH, LLM_MAX_CONNECTIONS: "3", LLM_MAX_KEEPALIVE: "2" };
const { gateway, url } = await serve(native, ["--simulate", "--alert-wait", "200", "--site", site], { env, cwd: site });
const browser = await launch(chromium, executablePath);

for (const [width, colorScheme] of [[1440, "light"], [380, "dark"], [1440, "dark"], [380, "light"]]) {
  const where = `at ${width} px, ${colorScheme}`;
  const context = await browser.newContext({ viewport: { width, height: 1000 }, colorScheme, bypassCSP: false });
  const page = await context.newPage();
  const complaints = [];
  // The 402 and 429 that are asked for are shown by the browser as failed requests.
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  const said = async (text) => {
    await page.waitForFunction((text) => document.querySelector("#log").textContent.includes(text), text, { timeout: 30_000 });
  };
  const picture = async (name) => {
    if (!pictures) return;
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: resolve(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
  };

  await test(`the chat streams, stops, uses a tool and takes a picture, ${where}`, async () => {
    await page.fill("#question", "Grüezi");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".turn-note")?.textContent.includes("tokens"), undefined, { timeout: 20_000 });
    check((await page.locator(".turn-assistant").first().textContent()).startsWith("You said: “Grüezi”"), "the answer");
    await page.fill("#question", "And again");
    await page.click("text=Send");
    await page.waitForFunction(() => document.querySelectorAll(".turn-assistant")[1]?.textContent.length > 20, undefined, { timeout: 20_000 });
    await page.click("#stop");
    await page.waitForFunction(() => document.querySelector("#turns").textContent.includes("Stopped"), undefined, { timeout: 5_000 });
    await page.check("#tool");
    await page.setInputFiles("#file", { name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64") });
    // It has no size, and so is not seen, before it is decoded.
    await page.locator("#picture img").waitFor({ state: "visible", timeout: 5_000 });
    await page.fill("#question", "What time is it?");
    await page.click("text=Send");
    await page.waitForFunction(() => /clock\(.*\) → /.test(document.querySelector(".turn-tool")?.textContent), undefined, { timeout: 20_000 });
    await page.waitForFunction(() => document.querySelector("#stop").disabled, undefined, { timeout: 20_000 });
    check((await page.locator(".turn-user img").count()) === 1, "the picture that was sent");
    await page.uncheck("#tool");
  });

  await test(`each button shows what the client does, ${where}`, async () => {
    await page.click("[data-try=ten]");
    await said("Ten calls at once: 10 answered");
    await page.click("[data-try=limited]");
    await said("waited and retried (1 retry)");
    await page.click("[data-try=cut]");
    await said("The provider cut the stream after");
    await page.click("[data-try=exhaust]");
    await page.waitForFunction(() => document.querySelectorAll(".slot.waiting").length > 0, undefined, { timeout: 10_000 });
    if (pictures) await page.waitForFunction(() => document.querySelectorAll(".call .mark").length > 32);
    await picture("busy");
    await said("24 calls for 3 connections: 24 answered, in FIFO order, with never more than 3 sockets open");
    check(/waited 200\.0ms for a connection.*Raise max_connections/.test(await page.locator("#alerts").textContent()), await page.locator("#alerts").innerHTML());
    // Browsers open six connections to a host, of which the stats take one: the rest of 24 calls wait in the browser.
    const titles = await page.locator(".call").evaluateAll((rows) => rows.map(({ title }) => title));
    check(titles.some((title) => /in the browser: waited \d{3,} ms/.test(title)), `no call waited in the browser: ${titles.join("; ")}`);
    await page.click("[data-try=spend]");
    await said("Refused before it was sent");
    await page.waitForFunction(() => document.querySelector(".meter .spent")?.style.width !== "0%");
    check((await page.locator(".call .mark").count()) > 10, "bars with their connections");
  });

  await test(`axe finds nothing, and nothing is wider than the page, ${where}`, async () => {
    await page.locator("details").evaluate((details) => (details.open = true));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `the page is ${wide} px wider than the window`);
    // The page's own policy keeps strangers' scripts out, this one too, so it is run by the debugger's way in.
    await page.evaluate(require("node:fs").readFileSync(axe, "utf8") + "; undefined");
    const { violations } = await page.evaluate(() => axe.run());
    check(!violations.length, JSON.stringify(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html.slice(0, 200), failureSummary])])));
    await picture("demo");
  });

  await test(`no console error but the ones that are asked for, ${where}`, async () => {
    const strange = complaints.filter((text) => !/status of (402|429)/.test(text));
    check(!strange.length, strange.join("\n"));
  });
  await context.close();
}

await test("a key of one's own goes to the provider and nowhere else", async () => {
  const page = await browser.newPage();
  const sent = [];
  await page.route(/api\.(anthropic|openai)\.com/, (route) => {
    sent.push({ url: route.request().url(), headers: route.request().headers() });
    return route.fulfill({ status: 401, contentType: "application/json", headers: { "access-control-allow-origin": "*", "timing-allow-origin": "*" }, body: '{"error":{"type":"authentication_error","message":"not a key"}}' });
  });
  page.on("request", (request) => {
    if (request.url().startsWith(url)) check(!JSON.stringify(request.headers()).includes("sk-own-key"), "the gateway saw the key");
  });
  await page.goto(url);
  await page.locator("details").evaluate((details) => (details.open = true));
  await page.fill("#key", "sk-own-key-0123456789");
  await page.click("text=Send");
  await page.waitForFunction(() => document.querySelector(".turn-note.failed")?.textContent.includes("not a key"), undefined, { timeout: 10_000 });
  const call = sent.find(({ headers }) => headers["x-api-key"]);
  check(call?.url === "https://api.anthropic.com/v1/messages" && call.headers["x-api-key"] === "sk-own-key-0123456789", JSON.stringify(sent));
  check(!(await page.locator("#turns").textContent()).includes("sk-own-key"), "the key is shown");
  await page.waitForFunction(() => document.querySelector(".call")?.title.startsWith("in the browser: "), undefined, { timeout: 5_000 });
  await page.close();
});

await browser.close();
gateway.kill("SIGTERM");
console.log(JSON.stringify(results));
process.exit(0);
