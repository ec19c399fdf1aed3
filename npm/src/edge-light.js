// Next.js and Vercel's edge: the module is imported too. With `?module` their bundlers compile it, in a realm other than this code's.
import module from "./warmline.wasm?module";
import { provide } from "./core.js";

provide(() => module);
export * from "./index.js";
