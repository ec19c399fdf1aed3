// Cloudflare Workers: imports the module, because Workers may not compile at run time.
import module from "./warmline.wasm";
import { provide } from "./load.js";

provide(() => module);
export * from "./index.js";
