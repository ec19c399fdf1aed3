// For runtimes that none of the entries fits: the caller brings the module.
import { compile } from "./compile.js";
import { provide } from "./core.js";

/** Takes a `WebAssembly.Module`, the bytes of `warmline/warmline.wasm`, a `Response` with them, or a promise of one. */
export async function init(source) {
  let module = await source;
  if (typeof Response !== "undefined" && module instanceof Response) module = await compile(module);
  if (!(module instanceof WebAssembly.Module)) module = await WebAssembly.compile(module);
  provide(() => module);
}

export * from "./index.js";
