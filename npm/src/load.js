// Loads the WebAssembly core.

import * as glue from "./glue_bg.js";
import { fail } from "./errors.js";

let source;
let loading;
let loaded = false;

/** Sets where the module comes from: `module` returns a `WebAssembly.Module` or a promise of one. Each entry calls this. */
export function provide(module) {
  source = module;
}

/** Instantiates the core. The module may come from another realm, as in Next.js's edge runtime. */
function instantiate(module) {
  const { exports } = new WebAssembly.Instance(module, { "./glue_bg.js": glue });
  glue.__wbg_set_wasm(exports);
  exports.__wbindgen_start();
}

/** Instantiates the core once, at its first use. Returns a promise only if it has to wait. */
export function ready() {
  if (loaded) return;
  if (!source) fail("the WebAssembly module is not loaded: call init() first, or import \"warmline\" instead of \"warmline/manual\"");
  const module = loading ?? source();
  const start = (module) => {
    if (!loaded) instantiate(module);
    loaded = true;
  };
  if (typeof module?.then !== "function") return start(module);
  loading = module;
  return loading.then(start, (error) => {
    loading = undefined;
    throw error;
  });
}
