// For other runtimes: the caller provides the module.
import { compile } from "./compile.js";
import { provide } from "./load.js";
import { is } from "./realm.js";

/** Loads the core from a `WebAssembly.Module`, the bytes of `warmline/warmline.wasm`, a `Response` with these bytes, or a promise of one of them. */
export async function init(source) {
  let module = await source;
  if (is(module, "Response")) module = await compile(module);
  if (!is(module, "WebAssembly.Module")) module = await WebAssembly.compile(module);
  provide(() => module);
}

export * from "./index.js";
