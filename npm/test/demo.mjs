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
const started = () => serve(native, ["--simulate", "--alert-wait", "200", "--site", site], { env, cwd: site });
const browser = await launch(chromium, executablePath);

/** Presses every button of a page with a gateway of its own. */
async function visit(width, colorScheme) {
  const { gateway, url } = await started();
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

  const chat = {
    ask: async (question) => {
      await page.fill("#question", question);
      await page.click("#send");
    },
    ended: () => page.waitForFunction(() => document.querySelector("#stop").disabled, undefined, { timeout: 20_000 }),
    last: (kind) => page.locator(`.turn-${kind}`).last().textContent(),
  };
  const ready = (name) => page.waitForFunction((name) => !document.querySelector(`[data-try=${name}]`).ariaDisabled, name, { timeout: 30_000 });
  /** Waits for the figures below a budget's name. */
  const budget = async (label, pattern) => {
    const figures = page.locator(".budget", { hasText: label }).filter({ hasText: pattern });
    await figures.waitFor({ timeout: 10_000 });
    const meter = await figures.locator(".meter").evaluate(({ ariaValueNow, ariaValueMax }) => ariaValueNow / ariaValueMax);
    return { text: await figures.textContent(), share: meter };
  };

  await test(`the chat streams, stops and uses a tool, ${where}`, async () => {
    await page.fill("#question", "Grüezi");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".turn-note")?.textContent.includes("tokens in"), undefined, { timeout: 20_000 });
    check((await page.locator(".turn-assistant").first().textContent()).startsWith("You said: “Grüezi”"), "the answer");
    await chat.ask("And again");
    await page.waitForFunction(() => document.querySelectorAll(".turn-assistant")[1]?.textContent.length > 20, undefined, { timeout: 20_000 });
    await page.click("#stop");
    await page.waitForFunction(() => document.querySelector("#turns").textContent.includes("Stopped"), undefined, { timeout: 5_000 });
    await chat.ended();
    check(await page.evaluate(() => document.activeElement.id === "question"), "the button that is disabled keeps the focus");
    await page.check("#tool");
    await chat.ask("What time is it?");
    await page.waitForFunction(() => /clock\(.*\) → /.test(document.querySelector(".turn-tool")?.textContent), undefined, { timeout: 20_000 });
    await chat.ended();
  });

  await test(`a question about a picture is answered about the picture, ${where}`, async () => {
    await page.setInputFiles("#file", { name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64") });
    // It has no size, and so is not seen, before it is decoded.
    await page.locator("#preview").waitFor({ state: "visible", timeout: 5_000 });
    await page.click("#remove");
    check(await page.locator("#picture").isHidden(), "a picture that was removed");
    await page.setInputFiles("#file", { name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64") });
    const tools = await page.locator(".turn-tool").count();
    await chat.ask("What is in this picture?");
    await chat.ended();
    check((await page.locator(".turn-user img").count()) === 1, "the picture that was sent");
    check((await chat.last("assistant")).startsWith("I see 1 picture (image/png, 1 × 1 pixels)."), await chat.last("assistant"));
    check((await page.locator(".turn-tool").count()) === tools, "the clock answered");
    await page.uncheck("#tool");
  });

  await test(`calls are made at once, retried and cut, ${where}`, async () => {
    await page.click("[data-try=ten]");
    await said("10 of 10 were answered");
    check(await page.evaluate(() => document.activeElement.dataset.try === "ten"), "the button lost the focus");
    await page.click("[data-try=limited]");
    await said("waited and tried again (1 retry)");
    await page.click("[data-try=cut]");
    await said("broke the reply off after 12 words");
    const charged = /an estimate, (\$0\.\d{4}): the input and the most/.exec(await page.locator("#log").textContent());
    check(charged && charged[1] !== "$0.0000", await page.locator("#log").textContent());
    await budget("This page", /of it estimated/);
  });

  await test(`the gateway exhausts its pool by itself, ${where}`, async () => {
    await page.click("[data-try=exhaust]");
    // More calls wait than a browser could send: it opens six connections to a host.
    await page.waitForFunction(() => Number(document.querySelector("#waiting").textContent) > 6 && document.querySelector("#in-use").textContent === "3", undefined, { timeout: 20_000 });
    check((await page.locator("#slots .slot.waiting").count()) > 6, "the waiting calls are drawn");
    if (pictures) await page.waitForFunction(() => document.querySelectorAll(".call .part.stream").length >= 9);
    await picture("busy");
    await said("24 calls at once over 3 connections: 24 were answered, first come, first served, and never more than 3 connections were open");
    check(/waited 200\.0ms for a connection.*Raise max_connections/.test(await page.locator("#alerts").textContent()), await page.locator("#alerts").innerHTML());
    const bars = page.locator(".call", { has: page.getByText("burst 24", { exact: true }) });
    await bars.locator(".part.queued").waitFor({ timeout: 10_000 });
    const title = await bars.getAttribute("title");
    check(title.startsWith("In the gateway: waited") && !title.includes("In the browser"), title);
  });

  await test(`the budget ends spent, and a new one can be started, ${where}`, async () => {
    await page.click("[data-try=spend]");
    await said("of $0.75 is spent. The call could cost up to");
    const { share } = await budget("This page", /spent/);
    check(share > 0.99 && share <= 1, `the page's budget is spent by ${share}`);
    check((await page.locator(".call .part.held").count()) > 0, "calls that waited for the budget");
    await page.locator("#refused").waitFor({ timeout: 5_000 });
    check(/This page's budget is spent.*refused before it was sent/.test(await page.locator("#refusal").textContent()), await page.locator("#refusal").textContent());
    await chat.ask("Still there?");
    await page.waitForFunction(() => /refused before it was sent/.test(document.querySelector(".turn-note:last-child.failed")?.textContent), undefined, { timeout: 5_000 });
    check((await page.inputValue("#question")) === "Still there?", "the message cannot be sent again");
    await picture("spent");
    await page.click("#renew");
    check((await budget("This page", "$0 of $0.75 spent")).share === 0, "the new budget");
    check(await page.locator("#refused").isHidden(), "the old refusal");
    await page.click("#send");
    await chat.ended();
    check((await chat.last("assistant")).startsWith("You said: “Still there?”"), await chat.last("assistant"));
  });

  await test(`after more than a hundred calls the bars are readable and no list is cut, ${where}`, async () => {
    const shown = width < 640 ? 12 : 24;
    await page.click("[data-try=exhaust]");
    await ready("exhaust");
    await page.locator(".call", { has: page.getByText("burst 24", { exact: true }) }).locator(".part.stream").waitFor({ timeout: 10_000 });
    check((await page.locator(".call").count()) === shown, "the number of bars");
    const earlier = await page.locator("#earlier").textContent();
    check(Number(/^And (\d+) earlier calls: \d+ answered/.exec(earlier)?.[1]) + shown > 100 && /\d+ refused/.test(earlier), earlier);
    const seen = await page.evaluate(() => {
      const rows = [...document.querySelectorAll(".call")].map((row) => {
        const track = row.querySelector(".track").getBoundingClientRect();
        return Math.max(...[...row.querySelectorAll(".part")].map((part) => (part.getBoundingClientRect().right - track.left) / track.width));
      });
      const scrolled = ["timeline", "log"].filter((id) => document.getElementById(id).scrollHeight > document.getElementById(id).clientHeight);
      const cut = [...document.querySelectorAll(".call span:not(.hidden)")].filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ textContent }) => textContent);
      const turns = document.getElementById("turns");
      const above = turns.scrollHeight - turns.clientHeight;
      return { longest: Math.max(...rows), scrolled, cut, above, rest: above % Number.parseFloat(getComputedStyle(turns).lineHeight), end: above - turns.scrollTop };
    });
    check(seen.longest > 0.5 && seen.longest <= 1, `the longest bar fills ${seen.longest} of its track`);
    check(!seen.scrolled.length && !seen.cut.length, JSON.stringify(seen));
    check(seen.above > 0 && seen.rest === 0 && seen.end < 1, `a line of the chat is cut: ${JSON.stringify(seen)}`);
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
  gateway.kill("SIGTERM");
}

// The pages spend most of their time waiting for the simulated provider's words.
await Promise.all([visit(1440, "light"), visit(380, "dark"), visit(1440, "dark"), visit(380, "light")]);

const { gateway, url } = await started();

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
  await page.click("#send");
  await page.waitForFunction(() => document.querySelector(".turn-note.failed")?.textContent.includes("not a key"), undefined, { timeout: 10_000 });
  const call = sent.find(({ headers }) => headers["x-api-key"]);
  check(call?.url === "https://api.anthropic.com/v1/messages" && call.headers["x-api-key"] === "sk-own-key-0123456789", JSON.stringify(sent));
  check(!(await page.locator("#turns").textContent()).includes("sk-own-key"), "the key is shown");
  await page.waitForFunction(() => document.querySelector(".call")?.title.startsWith("In the browser: "), undefined, { timeout: 5_000 });
  await page.close();
});

await test("a key of one's own without a network says what to do", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  await page.route(/api\.(anthropic|openai)\.com/, (route) => route.abort("namenotresolved"));
  await page.locator("details").evaluate((details) => (details.open = true));
  await page.fill("#key", "sk-own-key-0123456789");
  check((await page.locator("#goes").textContent()) === "Goes to api.anthropic.com with your key and costs real money, at most $1.", "where the message goes");
  const hint = async (text) => {
    await page.waitForFunction((text) => document.querySelector(".turn-note.failed:last-child")?.textContent.includes(text), text, { timeout: 20_000 });
    return page.locator(".turn-note.failed").last().textContent();
  };
  await page.click("#send");
  const reached = await hint("api.anthropic.com cannot be reached");
  for (const words of ["Open https://api.anthropic.com", "firewall", "content blocker", "CORS", "Without a key"]) check(reached.includes(words), reached);
  await context.setOffline(true);
  await page.click("#send");
  check((await hint("this browser is offline")).includes("Connect to a network"), "the hint without a network");
  await context.close();
});

await browser.close();
gateway.kill("SIGTERM");
console.log(JSON.stringify(results));
process.exit(0);
