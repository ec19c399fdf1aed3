// Cloudflare Workers: the module is imported, since compiling at run time is not allowed.
import module from "./warmline.wasm";
import { provide } from "./core.js";

provide(() => module);
export * from "./index.js";
