// Runs one case of tests/vectors/connections: calls by the runtime's own fetch to a server of the simulator's that answers with
// raw bytes.
import { check, equal } from "./expect.js";
import { camelRequest, checkError, snakeReply, within } from "./vectors.js";

/** The name of this runtime, as the cases know it. */
export function runtimeName() {
  if (globalThis.Deno) return "deno";
  if (globalThis.Bun) return "bun";
  if (globalThis.EdgeRuntime) return "edge";
  if (globalThis.document) return "browser";
  return globalThis.navigator?.userAgent === "Cloudflare-Workers" ? "workerd" : "node";
}

export async function runConnection({ Warmline }, vector, sim) {
  const expected = { ...vector, ...vector.elsewhere?.[runtimeName()] };
  const script = await control(`${sim}/sim/scripts`, { method: "POST", body: JSON.stringify(vector.replies) });
  const at = `${sim}/sim/scripts/${script.id}`;
  const { timeout_ms: timeoutMs, max_retries: maxRetries = 0 } = vector.client ?? {};
  const llm = new Warmline({ provider: vector.provider, apiKey: "test-key", baseUrl: `${script.url}/v1`, timeoutMs, maxRetries, dangerouslyAllowBrowser: true });
  const request = camelRequest(vector.request);
  if (vector.more_text) request.messages.push({ role: "user", content: "word ".repeat(vector.more_text / 5) });
  const outcome = { text: "" };
  for (let calls = 0; calls <= (vector.continued ?? 0); calls++) {
    if (calls > 0) request.messages.push(outcome.reply.message);
    await call(llm, vector, request, outcome, () => control(`${at}/release`, { method: "POST" }));
    if (outcome.error) break;
  }
  const requests = await control(at);
  llm.close();
  compare(expected, outcome, requests);
}

async function call(llm, vector, request, outcome, release) {
  outcome.text = "";
  try {
    if (vector.stream) {
      for await (const event of llm.stream(request)) {
        if (event.type === "done") outcome.reply = event.reply;
        if (event.type !== "text") continue;
        outcome.text += event.text;
        await release();
      }
    } else {
      outcome.reply = await llm.chat(request);
      outcome.text = outcome.reply.text;
    }
  } catch (error) {
    outcome.error = error;
  }
}

async function control(url, init) {
  const response = await fetch(url, init);
  check(response.ok, `${url} answers with ${response.status}`);
  return response.json();
}

function compare(expected, { text, reply, error }, requests) {
  if (expected.error) {
    checkError(expected.error, error);
  } else {
    if (error) throw error;
    within(expected.reply, snakeReply(reply), "reply");
  }
  if (expected.text !== undefined) equal(text, expected.text, "the text");
  equal((error ?? reply).attempts.length, expected.attempts, "attempts");
  equal(requests.length, expected.attempts + (expected.continued ?? 0), "requests");
  const { body } = requests.at(-1);
  for (const part of expected.sent ?? []) check(body.includes(part), `not sent: ${part}\nbut ${body.slice(0, 2000)}`);
}
