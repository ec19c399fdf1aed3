// The suite in Cloudflare's workerd, and requests that share an isolate: `node workerd.mjs TOOLS SIM`.
import { startWorker } from "./miniflare.mjs";
import { check, results, test } from "./outcomes.mjs";

const [tools, sim] = process.argv.slice(2);

const whole = await startWorker(tools, "worker.js");
const response = await whole.dispatchFetch(`http://localhost/?sim=${encodeURIComponent(sim)}`);
results.push(...(await response.json()));
await whole.dispose();

const isolate = await startWorker(tools, "isolate-worker.js");
const ask = async (text, options) => {
  const response = await isolate.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify({ sim, model: "m", text, ...options }) });
  return response.body.getReader();
};

async function answered(text, options) {
  const [reader, decoder] = [await ask(text, options), new TextDecoder()];
  let reply = "";
  for (let read; !(read = await reader.read()).done; ) reply += decoder.decode(read.value, { stream: true });
  check(reply.includes(`“${text}”`), `${text}: ${reply}`);
}

await test("sixty requests at once share an isolate, each with its own stream", async () => {
  await Promise.all(Array.from({ length: 60 }, (_, i) => answered(`number ${i}.`)));
});

await test("sixty requests at once share a router, one target of which fails, cools down and is probed", async () => {
  const routed = (i) => ({ routed: true, model: i % 2 ? "m" : "failing" });
  await Promise.all(Array.from({ length: 60 }, (_, i) => answered(`number ${i}.`, routed(i))));
  for (let i = 0; i < 5; i++) {
    await Promise.all([answered(`beside ${i}.`, routed(i)), ask("left.", { routed: true, model: "m?hold", leave: true }), answered(`with ${i}.`, routed(i + 1))]);
  }
  await answered("the last.", routed(0));
});

await test("requests are answered beside and after others that end while their call is under way", async () => {
  for (let i = 0; i < 5; i++) {
    await Promise.all([answered(`beside ${i}.`), ask("left.", { model: "m?hold", leave: true }), answered(`with ${i}.`)]);
    const reader = await ask("long.", { model: "m?tokens=1000&flush" });
    await reader.read();
    await Promise.all([reader.cancel(), answered(`after ${i}.`)]);
  }
  await answered("the last.");
});
await isolate.dispose();
console.log(JSON.stringify(results));
