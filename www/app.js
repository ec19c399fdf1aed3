// The demo page: it calls `warmline serve` with the npm package, and shows what both do.
import { BudgetExceededError, CancelledError, Warmline } from "./warmline/browser.js";

const $ = (id) => document.getElementById(id);
const PAGE_BUDGET = "0.75";
const MODEL = "claude-sonnet-4-5";

/** The calls of this page, the latest last. */
const calls = [];
const start = performance.timeOrigin / 1000;

const gateway = new Warmline({
  provider: "anthropic",
  baseUrl: location.origin,
  // The gateway retries, and the page shows it.
  maxRetries: 0,
  timeoutMs: 60_000,
  budget: { name: "this-page", usd: PAGE_BUDGET },
  fetch: numbered,
});

/** Returns a client with the visitor's own key, or the gateway's client if there is none. */
function client() {
  const apiKey = $("key").value.trim();
  if (!apiKey) return { llm: gateway, model: MODEL };
  const provider = $("provider").value;
  return { llm: new Warmline({ provider, apiKey, dangerouslyAllowBrowser: true }), own: provider };
}

/** The calls that are about to be sent, in order. */
const sending = [];
const bySent = new Map();

/** Gives each call its own URL, which identifies it in the browser's Resource Timing. */
function numbered(url, init) {
  const call = sending.shift();
  const address = `${url}?call=${bySent.size}`;
  bySent.set(address, call);
  return fetch(address, init);
}

/** Returns the call with the visitor's own key that an entry belongs to. Only one such call runs at a time, and its URL stays unchanged. */
function ownCall({ name, startTime }) {
  const last = calls.findLast(({ own }) => own);
  return last && name.startsWith(last.own) && startTime / 1000 + start >= last.begun ? last : undefined;
}
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const call = bySent.get(entry.name) ?? ownCall(entry);
    if (call) call.resource = entry;
  }
}).observe({ type: "resource" });

/** Streams a reply and records the times of its phases. */
async function stream(llm, request, { name, own, signal, onEvent = () => {} }) {
  const call = { name, begun: performance.now() / 1000 + start };
  calls.push(call);
  if (own) call.own = `https://api.${own}.com/`;
  else sending.push(call);
  try {
    for await (const event of llm.stream(request, { signal })) {
      if (event.type === "text" || event.type === "tool_call") call.first ??= performance.now() / 1000 + start;
      if (event.type === "done") call.id = event.reply.requestId;
      onEvent(event);
      if (event.type === "done") return event.reply;
    }
  } catch (error) {
    call.failed = error.kind ?? "error";
    // A call that the budget refused was not sent.
    if (sending.includes(call)) sending.splice(sending.indexOf(call), 1);
    throw error;
  } finally {
    call.ended = performance.now() / 1000 + start;
  }
}

function element(tag, { className, text, ...rest } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  Object.assign(made, rest);
  made.append(...children);
  return made;
}

function say(text, failed = false) {
  $("log").querySelector(".hint")?.remove();
  $("log").append(element("p", { text, className: failed ? "failed" : "" }));
  $("log").scrollTop = $("log").scrollHeight;
}

function turn(kind, text, failed) {
  $("turns").querySelector(".hint")?.remove();
  const made = element("p", { className: `turn-${kind}${failed ? " failed" : ""}`, text });
  $("turns").append(made);
  $("turns").scrollTop = $("turns").scrollHeight;
  return made;
}

// ---- The chat ----

let picture;
let controller;
const messages = [];
const CLOCK = {
  name: "clock",
  description: "Returns the time on the user's clock.",
  input: { type: "object", properties: { zone: { type: "string" } } },
};

async function answerTo() {
  const { llm, model, own } = client();
  for (;;) {
    const paragraph = turn("assistant", "");
    const tools = $("tool").checked ? [CLOCK] : undefined;
    const reply = await stream(llm, { model, messages, maxTokens: 400, tools }, {
      name: own ? `chat (${own})` : "chat",
      own,
      signal: controller.signal,
      onEvent(event) {
        if (event.type !== "text") return;
        paragraph.textContent += event.text;
        $("turns").scrollTop = $("turns").scrollHeight;
      },
    });
    if (!paragraph.textContent) paragraph.remove();
    messages.push({ role: "assistant", content: reply.content });
    const cost = reply.cost ? ` · $${reply.cost.usd}${reply.cost.estimated ? " (estimated)" : ""}` : "";
    if (!reply.toolCalls.length) return turn("note", `${reply.usage.inputTokens} + ${reply.usage.outputTokens} tokens${cost}`);
    const results = reply.toolCalls.map((call) => {
      const content = new Date().toLocaleTimeString();
      turn("tool", `${call.name}(${call.argumentsText}) → ${content}`);
      return { type: "tool_result", toolUseId: call.id, content };
    });
    messages.push({ role: "user", content: results });
  }
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || controller) return;
  controller = new AbortController();
  $("stop").disabled = false;
  const asked = turn("user", text);
  const content = [{ type: "text", text }];
  if (picture) {
    content.unshift({ type: "image", image: picture });
    asked.append($("picture").firstChild);
    choose(undefined);
  }
  const before = messages.length;
  messages.push({ role: "user", content });
  $("question").value = "";
  try {
    await answerTo();
  } catch (error) {
    messages.length = before;
    if (error instanceof CancelledError) turn("note", "Stopped. Its connection is free again.");
    else turn("note", error.message, true);
  }
  controller = undefined;
  $("stop").disabled = true;
  $("question").focus();
});

$("own").addEventListener("submit", (event) => event.preventDefault());
$("stop").addEventListener("click", () => controller?.abort());
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});

function choose(file) {
  picture = file;
  $("picture").hidden = !file;
  $("picture").replaceChildren(...(file ? [element("img", { src: URL.createObjectURL(file), alt: `Picture to send: ${file.name}` })] : []));
  if (!file) $("file").value = "";
}
$("file").addEventListener("change", () => choose($("file").files[0]));
const chat = document.querySelector(".chat");
for (const [name, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  chat.addEventListener(name, (event) => {
    event.preventDefault();
    chat.classList.toggle("dropping", dropping);
    const file = name === "drop" && [...event.dataTransfer.files].find(({ type }) => type.startsWith("image/"));
    if (file) choose(file);
  });
}

// ---- Errors to provoke ----

let unique = Date.now();
/** Each request is unique, because the simulated provider derives a request's id from its content. */
const ask = (scenario = "", maxTokens = 200) => ({
  model: MODEL + scenario,
  maxTokens,
  messages: [{ role: "user", content: `Hello, this is ${unique++}` }],
});

const tries = {
  async ten() {
    const before = await stats();
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => stream(gateway, ask("", 40), { name: `ten ${i + 1}` })));
    const after = await stats();
    const done = outcomes.filter(({ status }) => status === "fulfilled").length;
    const { opened, reused } = difference(after, before);
    say(`Ten calls at once: ${done} answered, over ${opened} new and ${reused} reused connections.${because(outcomes)}`);
  },
  async limited() {
    const before = await stats();
    const reply = await stream(gateway, ask(`?status=429&retry-after-ms=700&times=1&code=c${unique++}`, 40), { name: "a 429" });
    const { retries } = difference(await stats(), before);
    say(`The provider answered 429 and asked to wait 700 ms. The gateway waited and retried (${retries} retry). The reply has ${reply.usage.outputTokens} tokens.`);
  },
  async cut() {
    let came = "";
    try {
      await stream(gateway, ask("?tokens=60&fault=close&at=event&after=12"), { name: "cut", onEvent: ({ type, text }) => type === "text" && (came += text) });
    } catch (error) {
      if (!came) throw error;
      say(`The provider cut the stream after ${came.trim().split(/\s+/).length} words. The page already has them, so the call is not retried. The error is: ${error.message}`);
    }
  },
  async exhaust() {
    const outcomes = await Promise.allSettled(Array.from({ length: 24 }, (_, i) => stream(gateway, ask("", 30), { name: `crowd ${i + 1}` })));
    const done = outcomes.filter(({ status }) => status === "fulfilled").length;
    const now = (await stats()).providers.anthropic.pool.now;
    say(`24 calls for ${now.limits.max_connections} connections: ${done} answered, in FIFO order, with never more than ${now.peak} sockets open.${because(outcomes)}`);
  },
  async spend() {
    for (let sent = 0; sent < 200; sent += 3) {
      const outcomes = await Promise.allSettled(Array.from({ length: 3 }, () => stream(gateway, ask("?tokens=2000&pace=0", 2000), { name: "spend" })));
      const refused = outcomes.map(({ reason }) => reason).find((reason) => reason instanceof BudgetExceededError);
      const broken = outcomes.map(({ reason }) => reason).find((reason) => reason && !(reason instanceof BudgetExceededError));
      if (broken) throw broken;
      if (refused) {
        return say(`Refused before it was sent: this page's budget is $${refused.limit}, of which $${refused.spent} is spent and $${refused.reserved} reserved, and the next call can cost up to $${refused.needed}. Reload the page for a new budget.`);
      }
    }
  },
};

function because(outcomes) {
  const reasons = new Set(outcomes.filter(({ reason }) => reason).map(({ reason }) => reason.message));
  return reasons.size ? ` The others failed: ${[...reasons].join("; ")}` : "";
}

function difference(after, before) {
  const [now, then] = [after, before].map(({ providers: { anthropic } }) => ({ ...anthropic.pool.now, retries: anthropic.calls.retries }));
  return { opened: now.opened - then.opened, reused: now.reused - then.reused, retries: now.retries - then.retries };
}

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await tries[button.dataset.try]();
    } catch (error) {
      say(error.message, true);
    }
    button.disabled = false;
  });
}

// ---- Display ----

async function stats() {
  const response = await fetch("/v1/llm/stats?samples=0");
  if (!response.ok) throw new Error(`cannot read the gateway's stats: status ${response.status}`);
  return response.json();
}

function showPool({ now }) {
  const limits = now.limits ?? { max_connections: 10 };
  const kinds = [
    ...Array(now.in_use).fill("in-use"),
    ...Array(now.idle).fill("idle"),
    ...Array(now.connecting).fill("connecting"),
  ];
  while (kinds.length < limits.max_connections) kinds.push("");
  const waiting = Array(Math.min(now.waiting, 20)).fill("waiting");
  $("slots").replaceChildren(...[...kinds, ...waiting].map((kind) => element("span", { className: `slot ${kind}` })));
  $("slots").setAttribute("aria-label", `${now.in_use} connections in use, ${now.idle} idle, ${now.connecting} connecting, ${now.waiting} calls waiting`);
  $("pool-line").textContent = `${now.in_use} in use · ${now.idle} idle · ${now.waiting} waiting · opened ${now.opened}, reused ${now.reused} · peak ${now.peak} of ${limits.max_connections}`;
}

function showAlerts(alerts) {
  const latest = alerts.slice(-3).reverse();
  const items = latest.map(({ at, summary, hint }) => {
    const when = new Date(at * 1000).toLocaleTimeString();
    return element("li", { text: `${when} ${summary}. ` }, element("strong", { text: `${hint[0].toUpperCase()}${hint.slice(1)}.` }));
  });
  const text = items.map(({ textContent }) => textContent).join();
  // A screen reader announces every change, so unchanged alerts are left alone.
  if ($("alerts").dataset.text === text) return;
  $("alerts").dataset.text = text;
  $("alerts").replaceChildren(...items);
}

function showBudgets(budgets) {
  const bars = budgets.map(({ name, limit, spent, reserved }) => {
    const share = (usd) => `${Math.min(100, (100 * Number(usd)) / Number(limit))}%`;
    const meter = element("div", { className: "meter" }, element("div", { className: "spent" }), element("div", { className: "reserved" }));
    meter.setAttribute("role", "img");
    meter.setAttribute("aria-label", `${name}: $${spent} spent and $${reserved} reserved of $${limit}`);
    meter.children[0].style.width = share(spent);
    meter.children[1].style.width = share(reserved);
    const figures = `${name}: $${spent} spent${Number(reserved) ? `, $${reserved} reserved` : ""}, of $${limit}`;
    return element("div", { className: "budget" }, element("p", { className: "figures", text: figures }), meter);
  });
  $("budgets").replaceChildren(...bars);
}

const SHOWN = 40;
const ms = (seconds) => `${Math.round(seconds * 1000)} ms`;

/** Returns how long a call waited for a connection in the browser, which opens only a few to a host, and how long it connected, in seconds. */
function inBrowser({ resource }) {
  // All times are zero if the server does not expose them (Timing-Allow-Origin).
  if (!resource?.requestStart) return undefined;
  const connect = resource.connectEnd - resource.connectStart;
  return { queued: (resource.requestStart - resource.startTime - connect) / 1000, connect: connect / 1000 };
}

function showTimeline(recent) {
  const byId = new Map(recent.map((call) => [call.id, call]));
  const shown = calls.slice(-SHOWN);
  if (!shown.length) {
    if (!$("timeline").children.length) $("timeline").append(element("p", { className: "hint", text: "Send a message, or press a button above." }));
    return;
  }
  const now = performance.now() / 1000 + start;
  const last = Math.max(...shown.map(({ ended }) => ended ?? now));
  // Bursts far apart would be too thin on one axis, so only calls close to the last one are shown.
  const near = shown.filter(({ begun }) => last - begun < 12);
  const [from, to] = [Math.min(...near.map(({ begun }) => begun)), last];
  const at = (time) => (100 * (time - from)) / Math.max(to - from, 0.001);
  const rows = near.reverse().map((call) => {
    const { name, begun, first, ended, failed, id } = call;
    const seen = byId.get(id);
    const parts = [];
    const part = (kind, from, to) => to > from && parts.push([kind, at(from), at(to) - at(from)]);
    let reached = begun;
    const of = inBrowser(call);
    if (of) {
      part("queued", begun, (reached = begun + of.queued));
      part("connect", reached, (reached += of.connect));
    }
    if (seen) {
      part("queued", reached, (reached += seen.queued_ms / 1000));
      part("connect", reached, (reached += (seen.connect_ms ?? 0) / 1000));
    }
    // The phase is known only when the call has ended.
    part(ended ? "first" : "pending", reached, first ?? ended ?? now);
    if (first) part(ended ? "stream" : "open", first, ended ?? now);
    if (failed && ended) parts.push(["failed", Math.max(0, at(ended) - 0.6), 0.6]);
    const track = element("div", { className: "track" });
    for (const [kind, left, width] of parts) {
      const made = element("div", { className: `part ${kind}` });
      made.style.left = `${left}%`;
      made.style.width = `${width}%`;
      track.append(made);
    }
    const connection = seen ? (seen.connect_ms === null ? "reused" : "new") : of && (of.connect > 0 ? "new" : "reused");
    const label = element("span", { className: "name" });
    if (connection) label.append(element("span", { className: `mark ${connection}` }), " ");
    label.append(name);
    const took = ended ? `${Math.round((ended - begun) * 1000)} ms` : "…";
    const attempts = seen?.attempts > 1 ? ` · ${seen.attempts} attempts` : "";
    const row = element("div", { className: "call" }, label, track, element("span", { className: "took", text: (failed ? `${failed === "budget_exceeded" ? "refused" : failed} ` : "") + took + attempts }));
    const browser = of ? `in the browser: waited ${ms(of.queued)}, ${of.connect ? `connected in ${ms(of.connect)}` : "reused a connection"}. ` : "";
    row.title = browser + (seen ? `In the gateway: queued ${seen.queued_ms} ms, ${connection} connection${seen.connect_ms === null ? "" : ` in ${seen.connect_ms} ms`}, first token ${seen.time_to_first_token_ms} ms, total ${seen.total_ms} ms` : "");
    return row;
  });
  $("timeline").replaceChildren(...rows);
}

// One stream of stats: browsers open six connections to a host, so a request for each update would wait behind the calls.
const live = new EventSource("/v1/llm/stats?samples=0&every=200");
let unreachable = false;
live.addEventListener("message", async ({ data }) => {
  const { providers: { anthropic }, spend, alerts } = JSON.parse(data);
  unreachable = false;
  showPool(anthropic.pool);
  showAlerts(alerts);
  showTimeline(anthropic.recent);
  const own = await gateway.spend();
  showBudgets([...own.budgets, ...spend.budgets.map((budget) => ({ ...budget, name: "the gateway" }))]);
});
live.addEventListener("error", () => {
  if (!unreachable) say('The gateway does not answer. Start it with "cargo xtask demo".', true);
  unreachable = true;
});
