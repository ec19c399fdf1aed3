// What clients and routers have in common: a core, which is made at its first use, and calls.

import { Call } from "./call.js";
import { CALL_OPTIONS, checkTypes, show } from "./check.js";
import { fail, fromCore } from "./errors.js";
import { Hooks } from "./hooks.js";
import { ready } from "./load.js";
import { toResponse } from "./realm.js";
import { FIELDS, toRequest } from "./shape.js";
import { ReplyStream } from "./stream.js";

/** The number of calls that were made, which numbers them. */
let made = 0;

/** Checks the numbers among the options of a client, a router or a call. */
export function checkNumbers(options) {
  for (const name of ["timeoutMs", "replyTimeoutMs", "poolTimeoutMs", "deadlineMs"]) {
    if (options[name] <= 0) fail(`${name} must be more than 0, got ${options[name]}`);
  }
  const { maxRetries } = options;
  if (maxRetries !== undefined && !(Number.isInteger(maxRetries) && maxRetries >= 0 && maxRetries <= 0xffffffff)) fail(`maxRetries must be a whole number, got ${maxRetries}`);
}

/** Checks the credentials of a client or a call. */
export function checkCredentials({ apiKey, bearerToken }) {
  if (!["undefined", "string", "function"].includes(typeof bearerToken)) {
    fail(`bearerToken must be a string or a function that returns one, got ${bearerToken === null ? "null" : typeof bearerToken}`);
  }
  if (apiKey !== undefined && bearerToken !== undefined) fail("apiKey and bearerToken are both given: give one of them");
}

/** Checks the options of one call. */
function checkCall(options, { what, names }) {
  if (options === undefined) return;
  if (options === null || typeof options !== "object") fail(`the options of a call must be an object: { signal, headers, … }, got ${show(options)}`);
  checkTypes(options, CALL_OPTIONS, "", { "the request, the first argument": FIELDS, [`the options of the ${what}`]: names });
  checkNumbers(options);
  checkCredentials(options);
  for (const name of ["apiKey", "bearerToken"]) if (options[name] === "") fail(`${name} is empty`);
  const { signal } = options;
  if (signal !== undefined && signal !== null && typeof signal.addEventListener !== "function") fail(`signal must be an AbortSignal, got ${show(signal)}`);
}

/** Returns the function that gives tokens as the core expects them, if `bearerToken` is a function. */
export function tokensOf({ bearerToken } = {}) {
  if (typeof bearerToken !== "function") return undefined;
  return async () => {
    const given = await bearerToken();
    const { token, expiresInMs } = typeof given === "string" ? { token: given } : (given ?? {});
    if (typeof token !== "string") fail(`bearerToken must return a string or { token, expiresInMs }, got ${show(token)}`);
    return { token, expiresInMs };
  };
}

/** Returns whether this is a web page. Under a test library's DOM, such as jsdom, Node remains Node. */
export const inBrowser = () =>
  typeof window !== "undefined" && typeof window.document !== "undefined" && typeof navigator !== "undefined" && !globalThis.process?.versions?.node;

/** Refuses a key in a web page. */
export function checkKeys({ apiKey, bearerToken }, allowed) {
  if (!allowed && (apiKey || typeof bearerToken === "string") && inBrowser()) {
    fail(
      "every visitor can read an API key that is in a web page: call your own server instead, or set " +
        "dangerouslyAllowBrowser: true if the key is the visitor's own",
    );
  }
}

/** Waits for a promise of the core's. */
export async function answer(promise) {
  try {
    return await promise;
  } catch (error) {
    throw fromCore(error);
  }
}

/** The core of a client or a router, and its calls. */
class Handle {
  /** Undefined before its first use, and after `close()`. */
  core;
  calls;
  options;
  #of;
  #closed = false;

  constructor(of) {
    this.#of = of;
    this.calls = of.calls ?? new Set();
    this.options = of.options;
    // If the module is available at once, a bad URL or header throws here. Otherwise the first call throws, as it does if the
    // module cannot be loaded.
    const loading = ready();
    if (loading) loading.catch(() => {});
    else this.start();
  }

  /** Returns the core. The module must be loaded. */
  start() {
    this.checkOpen();
    try {
      return (this.core ??= this.#of.make());
    } catch (error) {
      throw fromCore(error);
    }
  }

  checkOpen() {
    if (this.#closed) fail(`this ${this.#of.what} has been closed`);
  }

  /** Checks the options of one call. */
  check(options) {
    checkCall(options, this.#of);
    this.checkOpen();
    checkKeys(options ?? {}, this.options.dangerouslyAllowBrowser);
  }

  /** Sends a request by the `fetch` of the client, or of the router's target. */
  async send(target, url, init) {
    const { fetch } = this.#of.clientOf?.(target) ?? this.options;
    return toResponse(await (fetch ?? globalThis.fetch)(url, init));
  }

  call(request, options, stream) {
    const { provider, model } = this.options;
    const { clientOf } = this.#of;
    const hooks = new Hooks([this.options, options], { id: ++made, provider, model: request?.model ?? model, stream, request }, clientOf);
    const open = async (call) => {
      this.check(options);
      const { json, convert } = await toRequest(request, options);
      await ready();
      const core = this.start();
      const send = async (target, url, init) => {
        try {
          return await hooks.send(() => this.send(target, url, init), { target, url, init });
        } catch (error) {
          call.fetchError = error;
          throw error;
        }
      };
      const sent = clientOf ? send : send.bind(undefined, undefined);
      return { make: () => core.call(json, stream, sent, tokensOf(options)), convert };
    };
    return new Call(open, { signal: options?.signal, hooks, calls: this.calls });
  }

  /** Waits until every call has ended, and its cost is recorded. */
  async flush() {
    // Streams that nobody reads on are read to their end, which is kept for their readers.
    await Promise.allSettled(Array.from(this.calls, (call) => call.drain()));
    if (this.core) await answer(this.core.flush());
  }

  /** Returns what a client or a router is made of that shares the calls and the settings of this one, but has the core that `make` returns. */
  derived(make) {
    return new Derived({ ...this.#of, calls: this.calls, make: () => make(this.start()) });
  }

  close() {
    this.#closed = true;
    this.core?.free();
    this.core = undefined;
  }
}

/** Given to a constructor in place of options. */
class Derived {
  constructor(of) {
    this.of = of;
  }
}

/** Returns the handle of a client or a router, or undefined for another value. */
export let handleOf;

export class Caller {
  #handle;

  static {
    handleOf = (value) => (typeof value === "object" && value !== null && #handle in value ? value.#handle : undefined);
  }

  /**
   * Takes options and the function that checks them. It returns `what` this is, the `names` of its options, the `options` themselves, and `make`, which makes
   * the core; of a router also `clientOf`, which returns the options of the client of a target.
   */
  constructor(options, read) {
    this.#handle = new Handle(options instanceof Derived ? options.of : read(options));
  }

  /** Sends a request and returns the complete reply. */
  async chat(request, options) {
    return this.#handle.call(request, options, false).reply();
  }

  /** Sends a request and returns its reply as a stream of events. */
  stream(request, options) {
    return new ReplyStream(this.#handle.call(request, options, true));
  }

  /** Waits until every call has ended and its cost is recorded. */
  async flush() {
    await this.#handle.flush();
  }

  /** Frees the memory. Calls in flight continue. */
  close() {
    this.#handle.close();
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }
}
