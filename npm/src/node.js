// Node, Bun and Deno: the file lies beside this one.
import { readFileSync } from "node:fs";
import { provide } from "./core.js";

provide(() => new WebAssembly.Module(readFileSync(new URL("./warmline.wasm", import.meta.url))));
export * from "./index.js";
