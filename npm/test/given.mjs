// The values of `given.ts`, and a `fetch` that asks the simulator in place of every provider. It is imported before an example, in Node, Bun and
// Deno; `globalThis.SIM`, or else the variable WARMLINE_SIM, is the simulator's address.
const variables = globalThis.process?.env ?? {};
const sim = globalThis.SIM ?? variables.WARMLINE_SIM;

/** Returns where a request goes: to the simulator, unless it is for this machine. */
export function reroute(address) {
  const url = new URL(address, globalThis.location?.href);
  if (["127.0.0.1", "localhost", "[::1]"].includes(url.hostname) || !url.protocol.startsWith("http")) return url.href;
  const [endpoint] = /\/(?:messages|models|responses)(?:\/.*)?$/.exec(url.pathname) ?? ["/chat/completions"];
  return `${sim}/v1${endpoint}${url.search}`;
}

const send = globalThis.fetch;
globalThis.fetch = (resource, init) => (typeof resource === "string" || resource instanceof URL ? send(reroute(resource), init) : send(resource, init));

/** Returns the given values, new for each example. */
export async function given() {
  const { Router, Warmline } = await import("warmline");
  const background = [];
  const llm = new Warmline({ provider: "anthropic", apiKey: "sk-ant-secret-0001" });
  return {
    llm,
    router: new Router({ targets: [{ client: llm }] }),
    messages: [{ role: "user", content: "How is the weather in Bern?" }],
    env: variables,
    ctx: { waitUntil: (promise) => background.push(promise) },
    apiKey: "sk-ant-secret-0001",
    customerId: "42",
    save: async () => {},
    show: () => {},
    forecast: async (city) => `Sunny in ${city}`,
    credential: async () => "token",
    background,
  };
}
