// Browsers, and bundlers for them: the file is fetched from where the bundler put it.
import { compile } from "./compile.js";
import { provide } from "./core.js";

provide(() => compile(fetch(new URL("./warmline.wasm", import.meta.url))));
export * from "./index.js";
