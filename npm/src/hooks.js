// What a client or a router tells its user about a call, and the function that sends the call's requests.

/** The names of the hooks, as options. */
export const HOOKS = { onRequest: "function", onResponse: "function", onRetry: "function", onError: "function", onFinish: "function" };

// Headers that can contain a secret are not shown.
const SECRET = /auth|key|token|secret|cookie/i;

const shown = (headers) => new Headers(Object.entries(headers).filter(([name]) => !SECRET.test(name)));

export class Hooks {
  #owners;
  /** Describes the call. It is the same object in all events of a call. */
  call;
  #attempt = 0;
  /** The outcome of the last attempt that has one. With hedging, the one before may still be under way. */
  #previous = { status: undefined, error: undefined };

  /** `owners` are the objects whose functions are called, such as the options of the client and of the call. */
  constructor(owners, call) {
    this.#owners = owners.filter((owner) => owner && Object.keys(HOOKS).some((name) => owner[name]));
    this.call = Object.freeze(call);
  }

  #tell(name, event) {
    for (const owner of this.#owners) {
      // What a hook throws does not change the call.
      try {
        Promise.resolve(owner[name]?.({ call: this.call, ...event })).catch(() => {});
      } catch {}
    }
  }

  finish(reply) {
    this.#tell("onFinish", { reply });
  }

  error(error) {
    this.#tell("onError", { error });
  }

  /** Sends one attempt by `fetch`, with these arguments. `target` is that of a router. */
  async send(fetch, { target, url, init }) {
    if (this.#owners.length === 0) return fetch();
    const attempt = ++this.#attempt;
    const request = { attempt, target, url: url.split("?")[0], headers: shown(init.headers), body: new TextDecoder().decode(init.body) };
    if (attempt > 1) this.#tell("onRetry", { attempt, target, previous: this.#previous });
    this.#tell("onRequest", request);
    const start = performance.now();
    try {
      const response = await fetch();
      const { status, headers } = response;
      this.#previous = { status, error: undefined };
      this.#tell("onResponse", { attempt, target, status, headers, durationMs: performance.now() - start });
      return response;
    } catch (error) {
      this.#previous = { status: undefined, error };
      throw error;
    }
  }
}
