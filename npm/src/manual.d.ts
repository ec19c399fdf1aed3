export * from "./index.js";

/** Loads the core from the module `warmline/warmline.wasm`, its bytes, a `Response` with these bytes, or a promise of one of them. Call it before any other function. */
export function init(
  source: WebAssembly.Module | BufferSource | Response | Promise<WebAssembly.Module | BufferSource | Response>,
): Promise<void>;
