// Node, Bun and Deno: reads the module from this file's folder.
import { readFileSync } from "node:fs";
import { provide } from "./core.js";

provide(() => new WebAssembly.Module(readFileSync(new URL("./warmline.wasm", import.meta.url))));
export * from "./index.js";
