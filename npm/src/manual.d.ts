export * from "./index.js";

/** Takes the module `warmline/warmline.wasm`, its bytes, a `Response` with them, or a promise of one of these. */
export function init(
  source: WebAssembly.Module | BufferSource | Response | Promise<WebAssembly.Module | BufferSource | Response>,
): Promise<void>;
