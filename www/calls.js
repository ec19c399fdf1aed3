// The clients of the page, and what is known of each call that they or the gateway make.
import { BudgetExceededError, Warmline } from "./warmline/browser.js";

export const MODEL = "claude-sonnet-4-5";
const PAGE_BUDGET = "0.75";
const OWN_KEY_BUDGET = "1";

/** The maximum number of calls that are remembered. */
const REMEMBERED = 1000;

/** The time in seconds since 1970, as the gateway's. */
export const now = () => (performance.timeOrigin + performance.now()) / 1000;

/** The calls, the latest last. Times are in seconds since 1970. */
export const calls = [];

/** The client of the gateway, and the error of the last call that its budget refused. */
export const page = { llm: undefined, refused: undefined };

/** Starts a new budget of this page. */
export function renew() {
  page.llm?.close();
  page.refused = undefined;
  page.llm = new Warmline({
    provider: "anthropic",
    baseUrl: location.origin,
    // The gateway retries, and the page shows it.
    maxRetries: 0,
    timeoutMs: 60_000,
    budget: { name: "page", usd: PAGE_BUDGET },
  });
}
renew();

/** The clients with keys of the visitor's. Each is kept, since it keeps its budget. */
const own = new Map();

/** Returns the client with the visitor's own key, or the gateway's if there is no key. */
export function client(provider, apiKey) {
  if (!apiKey) return { llm: page.llm, model: MODEL };
  const id = `${provider} ${apiKey}`;
  if (!own.has(id)) {
    const budget = { name: provider, usd: OWN_KEY_BUDGET };
    own.set(id, { own: provider, llm: new Warmline({ provider, apiKey, budget, dangerouslyAllowBrowser: true }) });
  }
  return own.get(id);
}

/** Returns the budgets of the page: its own, and those of the keys that were used. */
export async function budgets() {
  const of = async (llm, label) => {
    const { budgets, estimated } = await llm.spend();
    return { ...budgets[0], label, estimated };
  };
  const keys = [...own.values()].map(({ llm, own }) => of(llm, `Your key, ${own}`));
  return Promise.all([of(page.llm, "This page"), ...keys]);
}

let actions = 0;
/** Returns the number of a new action: a message, or a press of a button. */
export const newAction = () => ++actions;

/** Records the start of a call. */
export function started(call) {
  const made = { ...call, number: calls.length ? calls.at(-1).number + 1 : 1, begun: now() };
  calls.push(made);
  if (calls.length > REMEMBERED) calls.shift();
  return made;
}

/** Streams a reply, and records the call. */
export async function stream(llm, request, { own, onEvent = () => {}, onRetry, signal, ...call }) {
  const made = started({ ...call, own: own && `https://api.${own}.com/` });
  // Each call through the gateway has its own URL, which identifies it in the browser's Resource Timing.
  const baseUrl = own ? undefined : `${location.origin}?call=${made.number}`;
  try {
    for await (const event of llm.stream(request, { signal, onRetry, baseUrl })) {
      if (event.type === "text" || event.type === "tool_call") made.first ??= now();
      if (event.type === "done") made.id = event.reply.requestId;
      onEvent(event);
      if (event.type === "done") return event.reply;
    }
  } catch (error) {
    made.failed = error.kind ?? "error";
    if (error instanceof BudgetExceededError && !own) page.refused = error;
    throw error;
  } finally {
    made.ended = now();
  }
}

/** Returns the call that an entry of the Resource Timing belongs to. Only one call with the visitor's own key runs at a time. */
function callOf({ name, startTime }) {
  const number = new URL(name).searchParams.get("call");
  if (number) return calls.find((call) => call.number === Number(number));
  const last = calls.findLast(({ own }) => own);
  const begun = (performance.timeOrigin + startTime) / 1000;
  return last && name.startsWith(last.own) && begun >= last.begun ? last : undefined;
}
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const call = callOf(entry);
    if (call) call.resource = entry;
  }
}).observe({ type: "resource" });

/** Keeps what the gateway knows of calls, since it forgets the older ones. */
export function recordSeen(recent) {
  const byId = new Map(recent.map((call) => [call.id, call]));
  for (const call of calls) if (call.id) call.seen ??= byId.get(call.id);
}
