// Checks of options, with messages that name the value and what is accepted.

import { fail } from "./errors.js";

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

/** Fails because of a name that does not exist. `accepted` are those that do. */
export function failUnknown(what, of, name, accepted) {
  const meant = OTHER_NAMES[spelt(name)] ?? name;
  const near = accepted.find((other) => spelt(other) === spelt(meant));
  fail(`unknown ${what} ${JSON.stringify(of + name)}: ${near ? `did you mean ${JSON.stringify(of + near)}?` : `it must be one of ${accepted.join(", ")}`}`);
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
export function checkTypes(options, types, of = "") {
  for (const [key, value] of Object.entries(options)) {
    const name = of + key;
    const type = Object.hasOwn(types, key) ? types[key] : failUnknown("option", of, key, Object.keys(types));
    if (value === undefined || type === undefined) continue;
    // The type of a Durable Object's stub is "function".
    const is = key === "ledger" && typeof value === "function" ? "object" : typeof value;
    if (is !== type || value === null) {
      // A string in place of an object or a function, such as headers or a ledger, can be a secret.
      const shown = type === "number" || value === null ? show(value) : typeof value;
      fail(`${name} must be ${type === "object" ? "an" : "a"} ${type}, got ${shown}`);
    }
    if (type === "number" && !(Number.isFinite(value) && value >= 0)) fail(`${name} must be a finite number that is 0 or more, got ${value}`);
  }
}
