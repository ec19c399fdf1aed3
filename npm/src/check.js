// Checks of options, with messages that name the value and what is accepted.

import { fail } from "./errors.js";
import { HOOKS } from "./hooks.js";

/** The options of a call, and their types. */
export const CALL_OPTIONS = {
  signal: undefined,
  headers: "object",
  baseUrl: "string",
  apiKey: "string",
  bearerToken: undefined,
  timeoutMs: "number",
  replyTimeoutMs: "number",
  poolTimeoutMs: "number",
  deadlineMs: "number",
  maxRetries: "number",
  conversation: "string",
  ...HOOKS,
};

// What other libraries call an option.
const OTHER_NAMES = {
  __proto__: null,
  timeout: "timeoutMs",
  deadline: "deadlineMs",
  key: "apiKey",
  token: "bearerToken",
  retries: "maxRetries",
  maxcompletiontokens: "maxTokens",
  maxoutputtokens: "maxTokens",
  stop: "stopSequences",
  responseformat: "output",
  schema: "output",
  prompt: "messages",
  instructions: "system",
  abortsignal: "signal",
  inputschema: "input",
  parameters: "input",
};

const spelt = (name) => name.replace(/[_-]/g, "").toLowerCase();

/** Fails because of a name that does not exist. `accepted` are those that do. `elsewhere` has those of other objects, by the object's name. */
export function failUnknown(what, of, name, accepted, elsewhere = {}) {
  const meant = spelt(OTHER_NAMES[spelt(name)] ?? name);
  const find = (names) => names.find((other) => spelt(other) === meant);
  const near = find(accepted);
  if (near) fail(`unknown ${what} ${JSON.stringify(of + name)}: did you mean ${JSON.stringify(of + near)}?`);
  for (const [place, names] of Object.entries(elsewhere)) {
    const there = find(names);
    if (there) fail(`unknown ${what} ${JSON.stringify(name)}: ${JSON.stringify(there)} belongs into ${place}`);
  }
  fail(`unknown ${what} ${JSON.stringify(of + name)}: it must be one of ${accepted.join(", ")}`);
}

/** Checks that an object has no other fields than those that are known. `more` says which other ones are ignored. */
export function checkFields(name, value, accepted, more = () => false) {
  for (const [field, given] of Object.entries(value)) {
    if (given !== undefined && !accepted.includes(field) && !more(given)) failUnknown("field", `${name}.`, field, accepted);
  }
}

/** Names a value in a message without showing what can be a secret. */
export const show = (value) => (typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : typeof value);

/** Checks that all options are known and have the type in `types`, where it has one. */
export function checkTypes(options, types, of = "", elsewhere = {}) {
  for (const [key, value] of Object.entries(options)) {
    const name = of + key;
    const type = Object.hasOwn(types, key) ? types[key] : failUnknown("option", of, key, Object.keys(types), elsewhere);
    if (value === undefined || type === undefined) continue;
    // The type of a Durable Object's stub is "function".
    const is = key === "ledger" && typeof value === "function" ? "object" : typeof value;
    if (is !== type || value === null) {
      // A string in place of an object or a function, such as headers or a ledger, can be a secret.
      const shown = type === "number" || value === null ? show(value) : typeof value;
      fail(`${name} must be ${type === "object" ? "an" : "a"} ${type}, got ${shown}`);
    }
    if (type === "number" && !Number.isFinite(value)) fail(`${name} must be a finite number, got ${value}`);
  }
}
