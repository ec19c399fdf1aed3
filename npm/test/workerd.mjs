// The suite in Cloudflare's workerd: `node workerd.mjs TOOLS SIM`.
import { startWorker } from "./miniflare.mjs";

const [tools, sim] = process.argv.slice(2);
const miniflare = await startWorker(tools, "worker.js");
const response = await miniflare.dispatchFetch(`http://localhost/?sim=${encodeURIComponent(sim)}`);
console.log(await response.text());
await miniflare.dispose();
