// Browsers: fetches the module from the URL that the bundler assigns to it.
import { compile } from "./compile.js";
import { provide } from "./core.js";

provide(() => compile(fetch(new URL("./warmline.wasm", import.meta.url))));
export * from "./index.js";
