// What a client or a router tells its user about a call, and the function that sends the call's requests.

/** The names of the hooks, as options. */
export const HOOKS = { onRequest: "function", onResponse: "function", onRetry: "function", onError: "function", onFinish: "function" };

// Headers that can contain a secret are not shown.
const SECRET = /auth|key|token|secret|cookie/i;

const shown = (headers) => new Headers(Object.entries(headers).filter(([name]) => !SECRET.test(name)));

const hasHooks = (owner) => owner && Object.keys(HOOKS).some((name) => owner[name]);

export class Hooks {
  #owners;
  #clientOf;
  /** The options of the router's clients that have made an attempt. */
  #clients = new Set();
  /** Describes the call. It is the same object in all events of a call. */
  call;
  #attempt = 0;
  /** The outcome of the last attempt that has one. With hedging, the one before may still be under way. */
  #previous = { status: undefined, error: undefined };

  /**
   * `owners` are the objects whose functions are called: the options of the client or the router, and of the call. `clientOf` returns the options of the
   * client of a router's target.
   */
  constructor(owners, call, clientOf) {
    this.#owners = owners;
    this.#clientOf = clientOf;
    this.call = Object.freeze(call);
  }

  #tell(owners, name, event) {
    for (const owner of owners) {
      // What a hook throws does not change the call.
      try {
        Promise.resolve(owner?.[name]?.({ call: this.call, ...event })).catch(() => {});
      } catch {}
    }
  }

  finish(reply) {
    this.#tell([...this.#clients, ...this.#owners], "onFinish", { reply });
  }

  error(error) {
    this.#tell([...this.#clients, ...this.#owners], "onError", { error });
  }

  /** Sends one attempt by `fetch`, with these arguments. `target` is that of a router. */
  async send(fetch, { target, url, init }) {
    const client = this.#clientOf?.(target);
    if (client) this.#clients.add(client);
    const owners = [client, ...this.#owners].filter(hasHooks);
    const attempt = ++this.#attempt;
    if (owners.length > 0) {
      if (attempt > 1) this.#tell(owners, "onRetry", { attempt, target, previous: this.#previous });
      const body = new TextDecoder().decode(init.body);
      this.#tell(owners, "onRequest", { attempt, target, url: url.split("?")[0], headers: shown(init.headers), body });
    }
    const start = performance.now();
    try {
      const response = await fetch();
      const { status, headers } = response;
      this.#previous = { status, error: undefined };
      this.#tell(owners, "onResponse", { attempt, target, status, headers, durationMs: performance.now() - start });
      return response;
    } catch (error) {
      this.#previous = { status: undefined, error };
      throw error;
    }
  }
}
