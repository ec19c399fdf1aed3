// The buttons that cause trouble.
import { BudgetExceededError } from "./warmline/browser.js";
import { MODEL, newAction, now, page, started, stream } from "./calls.js";
import { $, dollars, element } from "./dom.js";
import { refusal } from "./panels.js";

/** How many entries the log keeps. */
const ENTRIES = 4;

/** How many calls the gateway makes to exhaust its pool. */
const BURST = 24;

/** Adds an entry to the log. */
export function say(title, text, failed = false) {
  $("log").querySelector(".hint")?.remove();
  $("log").prepend(element("p", { className: failed ? "failed" : "" }, element("strong", { text: `${title}. ` }), text));
  while ($("log").children.length > ENTRIES) $("log").lastChild.remove();
}

let unique = Date.now();
/** Each request is unique, because the simulated provider derives a request's id from its content. */
const ask = (scenario = "", maxTokens = 200) => ({
  model: MODEL + scenario,
  maxTokens,
  messages: [{ role: "user", content: `Hello, this is ${unique++}` }],
});

async function stats() {
  const response = await fetch("/v1/llm/stats?samples=0");
  if (!response.ok) throw new Error(`cannot read the gateway's statistics: status ${response.status}`);
  const { providers: { anthropic } } = await response.json();
  return { ...anthropic.pool.now, retries: anthropic.calls.retries };
}

/** Each returns what happened. */
const tries = {
  async ten(action) {
    const before = await stats();
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => stream(page.llm, ask("", 40), { action, name: `ten ${i + 1}` })));
    const after = await stats();
    const done = outcomes.filter(({ status }) => status === "fulfilled").length;
    const failures = outcomes.filter(({ reason }) => reason).map(({ reason }) => reason.message);
    return `${done} of 10 were answered, over ${after.opened - before.opened} new and ${after.reused - before.reused} reused connections.${because(failures)}`;
  },

  async limited(action) {
    const before = await stats();
    const reply = await stream(page.llm, ask(`?status=429&retry-after-ms=700&times=1&code=c${unique++}`, 40), { action, name: "rate limit" });
    const retries = (await stats()).retries - before.retries;
    return `The provider answered 429 and asked for a wait of 700 ms. The gateway waited and tried again (${retries} retry): the reply has ${reply.usage.outputTokens} tokens.`;
  },

  async cut(action) {
    // A budget for this call alone shows what it is charged.
    const alone = `cut-${action}`;
    const llm = page.llm.withBudget({ name: alone, usd: "1" });
    let came = "";
    const onEvent = ({ type, text }) => type === "text" && (came += text);
    try {
      await stream(llm, ask("?tokens=60&fault=close&at=event&after=12"), { action, name: "cut", onEvent });
    } catch (error) {
      if (!came) throw error;
      await llm.flush();
      const { spent } = (await llm.spend()).budgets.find(({ name }) => name === alone);
      const words = came.trim().split(/\s+/).length;
      return `The provider broke the reply off after ${words} words. The page has them already, so the call is not retried. The provider reported no usage, so the budget is charged an estimate, ${dollars(spent)}: the input and the most that the model can have written by then.`;
    } finally {
      llm.close();
    }
  },

  async exhaust(action) {
    const running = Array.from({ length: BURST }, (_, i) => started({ action, name: `burst ${i + 1}`, byGateway: true }));
    const errors = [];
    try {
      const response = await fetch(`/demo/burst/${BURST}`, { method: "POST" });
      if (response.status === 404) throw new Error('This gateway calls a real provider, so it makes no bursts. Start one with "cargo xtask demo".');
      if (!response.ok) throw new Error(`The gateway made no burst: ${await response.text()}`);
      for await (const { call, request_id: id, error } of lines(response.body)) {
        Object.assign(running[call - 1], { id, ended: now(), failed: error === null ? undefined : "status" });
        if (error !== null) errors.push(error);
      }
    } finally {
      for (const call of running) if (!call.ended) Object.assign(call, { ended: now(), failed: "stream" });
    }
    const { limits, peak } = await stats();
    return `The gateway made ${BURST} calls at once over ${limits.max_connections} connections: ${BURST - errors.length} were answered, first come, first served, and never more than ${peak} connections were open.${because(errors)}`;
  },

  async spend(action) {
    let calls = 0;
    // When a large call no longer fits, a smaller one may.
    for (const tokens of [2000, 500, 100, 20, 1]) {
      for (let refused; !refused; ) {
        const one = () => stream(page.llm, ask(`?tokens=${tokens}&pace=0`, tokens), { action, name: `spend ${++calls}` });
        const outcomes = await Promise.allSettled(Array.from({ length: 3 }, one));
        const errors = outcomes.map(({ reason }) => reason).filter(Boolean);
        const other = errors.find((error) => !(error instanceof BudgetExceededError));
        if (other) throw other;
        refused = errors.length > 0;
      }
    }
    const { spent, limit } = (await page.llm.spend()).budgets[0];
    return `${dollars(spent)} of ${dollars(limit)} is spent. ${refusal(page.refused)}`;
  },
};

/** Returns the lines of JSON of a body, as they arrive. */
async function* lines(body) {
  // Not every browser iterates streams by `for await`.
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts) yield JSON.parse(line);
  }
}

const because = (failures) => (failures.length ? ` The others failed: ${[...new Set(failures)].join("; ")}` : "");

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", async () => {
    // A button that is disabled would lose the keyboard's focus.
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    const title = button.querySelector("strong").textContent;
    try {
      say(title, await tries[button.dataset.try](newAction()));
    } catch (error) {
      const text = error instanceof BudgetExceededError ? `${refusal(error)} Start a new budget under “Spend”.` : error.message;
      say(title, text, true);
    }
    button.ariaDisabled = null;
  });
}
