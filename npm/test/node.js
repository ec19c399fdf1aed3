// Node, Bun and Deno: `node node.js SIM_URL VECTORS_FILE` prints the results as JSON.
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import * as warmline from "warmline";
import { run } from "./suite.js";

const [sim, vectors] = process.argv.slice(2);
const otherRealm = runInNewContext("globalThis");
const results = await run(warmline, { sim, vectors: JSON.parse(readFileSync(vectors, "utf8")), otherRealm });
console.log(JSON.stringify(results));
