// Vercel's edge: its bundler takes `?module` for the same.
import module from "./warmline.wasm?module";
import { provide } from "./core.js";

provide(() => module);
export * from "./index.js";
