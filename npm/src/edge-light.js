// Next.js and Vercel Edge: with `?module` their bundlers compile the module, in another realm than this code's.
import module from "./warmline.wasm?module";
import { provide } from "./load.js";

provide(() => module);
export * from "./index.js";
