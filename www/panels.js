// The gateway's pool, its alerts, and the budgets.
import { $, dollars, element } from "./dom.js";

/** The maximum number of waiting calls that are drawn. */
const DRAWN = 24;

/** Replaces the children of an element if they have changed, so that nothing flickers and no screen reader repeats itself. */
function replace(parent, children) {
  const fresh = element("div", {}, ...children);
  if (parent.innerHTML !== fresh.innerHTML) parent.replaceChildren(...fresh.childNodes);
}

export function showPool(now) {
  $("in-use").textContent = now.in_use;
  $("idle").textContent = now.idle;
  $("waiting").textContent = now.waiting;
  const max = now.limits?.max_connections ?? 10;
  const kinds = [...Array(now.in_use).fill("in-use"), ...Array(now.idle).fill("idle"), ...Array(now.connecting).fill("connecting")];
  while (kinds.length < max) kinds.push("");
  const waiting = Array(Math.min(now.waiting, DRAWN)).fill("waiting");
  const slots = [...kinds, ...waiting].map((kind) => element("span", { className: `slot ${kind}` }));
  if (now.waiting > DRAWN) slots.push(element("span", { text: `+${now.waiting - DRAWN}` }));
  replace($("slots"), slots);
  $("slots").setAttribute("aria-label", `${now.in_use} connections in use, ${now.idle} idle, ${now.connecting} connecting, ${now.waiting} calls waiting`);
  $("pool-line").textContent = `At most ${max} connections. So far ${now.opened} opened and ${now.reused} reused, never more than ${now.peak} at once.`;
}

export function showAlerts(alerts) {
  const latest = alerts.at(-1);
  if (!latest) return replace($("alerts"), []);
  const when = new Date(latest.at * 1000).toLocaleTimeString();
  const hint = latest.hint[0].toUpperCase() + latest.hint.slice(1);
  replace($("alerts"), [element("li", { text: `${when}: ${latest.summary}. ` }, element("strong", { text: `${hint}.` }))]);
}

export function showBudgets(budgets) {
  const bars = budgets.map(({ label, limit, spent, reserved, estimated }) => {
    const share = (usd) => `${Math.min(100, (100 * Number(usd)) / Number(limit))}%`;
    const meter = element("div", { className: "meter" }, element("div", { className: "spent" }), element("div", { className: "reserved" }));
    const extras = [Number(estimated) && `${dollars(estimated)} of it estimated`, Number(reserved) && `${dollars(reserved)} reserved`];
    const figures = [`${dollars(spent)} of ${dollars(limit)} spent`, ...extras.filter(Boolean)].join(", ");
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-label", label);
    meter.setAttribute("aria-valuemin", 0);
    meter.setAttribute("aria-valuemax", Number(limit));
    meter.setAttribute("aria-valuenow", Math.min(Number(spent), Number(limit)));
    meter.setAttribute("aria-valuetext", figures);
    meter.title = `$${spent} spent and $${reserved} reserved, of $${limit}`;
    meter.children[0].style.width = share(spent);
    meter.children[1].style.width = share(reserved);
    return element("div", { className: "budget" }, element("strong", { text: label }), element("p", { className: "note", text: figures }), meter);
  });
  replace($("budgets"), bars);
}

/** Returns why a call was refused. */
export function refusal({ limit, spent, reserved, needed }) {
  const left = Math.max(0, Number(limit) - Number(spent) - Number(reserved));
  // A cost that is larger than what is left is also shown as larger.
  return `The call could cost up to ${dollars(needed, Math.ceil)}, and ${dollars(left, Math.floor)} is left of ${dollars(limit)}. It was refused before it was sent.`;
}

/** Shows that the page's budget has refused a call. */
export function showRefusal(refused) {
  $("refused").hidden = !refused;
  if (refused) $("refusal").textContent = `This page's budget is spent. ${refusal(refused)}`;
}
