// A ledger in Redis that is reached over HTTP. It runs the same scripts as the native ledgers.

import { fail } from "./errors.js";
import { scripts } from "./scripts.js";

const NAME = /^[\w.:@-]+$/;

/** A ledger in Redis over REST, with the API of Upstash. */
export class RedisLedger {
  #url;
  #token;
  #init;
  #fetch;
  #keys;
  #timeoutMs;

  constructor({ url, token, name = "warmline", fetch, timeoutMs = 5000 } = {}) {
    if (!/^https?:\/\/[^\s@]+$/.test(url)) fail("the ledger's url must be the URL of a Redis REST API, such as https://example.upstash.io");
    if (typeof token !== "string" || !token) fail("the ledger's token is missing");
    if (!NAME.test(name)) fail(`${JSON.stringify(name)} is not a valid name for a ledger: use ASCII letters, digits and -_.:@`);
    this.#url = url;
    this.#token = token;
    this.#init = { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } };
    this.#fetch = fetch;
    // The hash tag (the part in braces) puts both keys into the same slot of a Redis Cluster.
    this.#keys = [`{${name}}:books`, `{${name}}:leases`];
    this.#timeoutMs = timeoutMs;
  }

  async #ask(what, ...words) {
    const command = ["EVAL", scripts[what], "2", ...this.#keys, ...words.map(String)];
    const init = { ...this.#init, body: JSON.stringify(command), signal: AbortSignal.timeout(this.#timeoutMs) };
    const ask = this.#fetch ?? globalThis.fetch;
    const response = await ask(this.#url, init);
    const text = await response.text();
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      // The error below shows the text.
    }
    if (Array.isArray(answer?.result)) return answer.result;
    // The server may echo the token.
    const shown = (text) => text.replaceAll(this.#token, "[redacted]");
    if (typeof answer?.error === "string") throw new Error(shown(answer.error));
    const start = JSON.stringify(shown(text).slice(0, 200));
    throw new Error(`the Redis at ${new URL(this.#url).host} answered with status ${response.status}: ${start}`);
  }

  async reserve(id, budgets, amount) {
    const limits = budgets.flatMap(({ name, limit }) => [name, limit]);
    const [budget, spent, reserved] = await this.#ask("reserve", id, amount, ...limits);
    return budget === undefined ? undefined : { budget, spent: BigInt(spent), reserved: BigInt(reserved) };
  }

  async settle(id, amount) {
    return (await this.#ask("settle", id, amount)).map(BigInt);
  }

  async state(budget) {
    const [spent, reserved] = await this.#ask("state", budget);
    return { spent: BigInt(spent), reserved: BigInt(reserved) };
  }
}
