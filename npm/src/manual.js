// For runtimes that none of the entries fits: the caller brings the module.
import { compile } from "./compile.js";
import { provide } from "./core.js";
import { is } from "./realm.js";

/** Takes a `WebAssembly.Module`, the bytes of `warmline/warmline.wasm`, a `Response` with them, or a promise of one. */
export async function init(source) {
  let module = await source;
  if (is(module, "Response")) module = await compile(module);
  if (!is(module, "WebAssembly.Module")) module = await WebAssembly.compile(module);
  provide(() => module);
}

export * from "./index.js";
