// A bar for each of the latest calls, on one scale, and a summary of the earlier ones.
import { $, duration, element } from "./dom.js";
import { calls, now } from "./calls.js";

/** How many bars are shown. */
const few = matchMedia("(max-width: 40rem)");
const shownCalls = () => (few.matches ? 12 : 24);

/** The lengths of the scale, in seconds, from which powers of ten are taken. */
const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

const OUTCOMES = { budget_exceeded: "refused", stream: "cut", cancelled: "stopped", connect: "no connection" };

/**
 * Returns how long a call was held back by its budget, how long it waited for a connection of the browser, which opens only a few to a host, and
 * how long it connected, in seconds.
 */
function inBrowser({ begun, resource }) {
  // All times are zero if the server does not expose them (Timing-Allow-Origin).
  if (!resource?.requestStart) return undefined;
  const connect = resource.connectEnd - resource.connectStart;
  const held = Math.max(0, (performance.timeOrigin + resource.startTime) / 1000 - begun);
  return { held, queued: (resource.requestStart - resource.startTime - connect) / 1000, connect: connect / 1000 };
}

/** Returns how long a call has taken so far, in seconds. */
function lengthOf({ begun, ended, seen, byGateway }) {
  if (byGateway && seen) return seen.total_ms / 1000;
  return (ended ?? now()) - begun;
}

/** Returns the phases of a call: a kind, a start and an end in seconds. */
function phases(call) {
  const { begun, ended, failed, seen } = call;
  const length = lengthOf(call);
  if (failed === "budget_exceeded") return [{ kind: "held", from: 0, to: length }];
  if (failed === "connect") return [{ kind: "connect", from: 0, to: length }];
  const parts = [];
  let reached = 0;
  const until = (kind, end) => {
    if (end <= reached) return;
    parts.push({ kind, from: reached, to: end });
    reached = end;
  };
  const browser = inBrowser(call);
  if (browser) {
    until("held", browser.held);
    until("queued", reached + browser.queued);
    until("connect", reached + browser.connect);
  }
  if (seen) {
    until("queued", reached + seen.queued_ms / 1000);
    until("connect", reached + (seen.connect_ms ?? 0) / 1000);
  }
  const measured = call.first && call.first - begun;
  const first = measured ?? (call.byGateway && seen ? seen.time_to_first_token_ms / 1000 : undefined);
  // What comes before the first token is known only when the call has ended and the gateway has told.
  const known = ended && (seen || call.own || failed);
  until(known ? "first" : "pending", first ?? length);
  until("stream", length);
  return parts;
}

/** Returns the length of a scale that holds `seconds`. */
function scaleFor(seconds) {
  const power = 10 ** Math.floor(Math.log10(Math.max(seconds, 0.01)));
  return power * STEPS.find((step) => step * power >= seconds);
}

function details(call) {
  const { seen } = call;
  const browser = inBrowser(call);
  const ms = (given) => duration(given / 1000);
  const connected = (given) => (given ? `connected in ${duration(given)}` : "reused a connection");
  const parts = [];
  if (browser) parts.push(`In the browser: waited ${duration(browser.held)} for the budget and ${duration(browser.queued)} for a connection, ${connected(browser.connect)}.`);
  if (seen) {
    const first = `first token after ${ms(seen.time_to_first_token_ms)}, ended after ${ms(seen.total_ms)}`;
    parts.push(`In the gateway: waited ${ms(seen.queued_ms)} for a connection, ${connected((seen.connect_ms ?? 0) / 1000)}, ${first}.`);
  }
  return parts.join(" ");
}

function row(call, scale) {
  const track = element("div", { className: "track" });
  for (const { kind, from, to } of phases(call)) {
    const part = element("div", { className: `part ${kind}` });
    part.style.left = `${(100 * from) / scale}%`;
    part.style.width = `${(100 * (to - from)) / scale}%`;
    track.append(part);
  }
  if (call.failed && call.ended) {
    const end = element("div", { className: "part failed" });
    end.style.left = `min(${(100 * lengthOf(call)) / scale}%, 100% - 0.4rem)`;
    track.append(end);
  }
  const browser = inBrowser(call);
  const connect = call.seen ? call.seen.connect_ms : browser?.connect;
  const label = element("span", { className: "name" });
  const connection = (call.seen ?? browser) && (connect ? "new" : "reused");
  label.append(element("span", { className: `mark ${connection ?? ""}` }), " ");
  label.append(call.name);
  const took = [call.ended ? duration(lengthOf(call)) : "…"];
  if (call.failed) took.unshift(OUTCOMES[call.failed] ?? "failed");
  if (call.seen?.attempts > 1) took.push(`${call.seen.attempts} attempts`);
  const told = details(call);
  const hidden = element("span", { className: "hidden", text: told });
  return element("li", { className: "call", title: told }, label, track, element("span", { className: "took", text: took.join(" · ") }), hidden);
}

/** Returns a sentence about calls that have no bar any more. */
function summary(earlier) {
  const ended = earlier.filter(({ ended }) => ended);
  const lengths = ended.filter(({ failed }) => !failed).map(lengthOf).sort((a, b) => a - b);
  const counts = new Map();
  for (const { failed } of ended) {
    const outcome = failed ? (OUTCOMES[failed] ?? "failed") : "answered";
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  const outcomes = [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(", ");
  const median = lengths[Math.floor(lengths.length / 2)];
  const times = lengths.length ? ` Half of the answered ones took less than ${duration(median)}, the slowest ${duration(lengths.at(-1))}.` : "";
  return `And ${earlier.length} earlier ${earlier.length === 1 ? "call" : "calls"}: ${outcomes}.${times}`;
}

let drawn;
export function showTimeline() {
  const latest = calls.slice(-shownCalls());
  if (!latest.length) return;
  // The calls of the latest action come first, in their order.
  const shown = latest.toSorted((a, b) => b.action - a.action || a.number - b.number);
  const scale = scaleFor(Math.max(...shown.map(lengthOf)));
  const rows = shown.map((call) => row(call, scale));
  const html = rows.map(({ outerHTML }) => outerHTML).join("");
  if (html === drawn) return;
  drawn = html;
  $("no-calls").hidden = true;
  $("axis").hidden = false;
  [0, scale / 2, scale].forEach((tick, i) => ($("axis").children[i].textContent = tick ? duration(tick) : "0"));
  $("timeline").replaceChildren(...rows);
  const earlier = calls.slice(0, -latest.length);
  $("earlier").hidden = !earlier.length;
  if (earlier.length) $("earlier").textContent = summary(earlier);
}
