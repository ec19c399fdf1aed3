// Node, Bun and Deno: `node node.js SIM_URL VECTORS_FILE` prints the results as JSON.
import { readFileSync } from "node:fs";
import * as warmline from "warmline";
import { run } from "./suite.js";

const [sim, vectors] = process.argv.slice(2);
const results = await run(warmline, { sim, vectors: JSON.parse(readFileSync(vectors, "utf8")) });
console.log(JSON.stringify(results));
