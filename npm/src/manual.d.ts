export * from "./index.js";

/**
 * Loads the WebAssembly module, `warmline/warmline.wasm`. Call it before a client makes its first call; without it, calls fail with a `ConfigError`.
 *
 * ```ts types
 * await init(fetch("/assets/warmline.wasm"));
 * ```
 *
 * @param source The compiled module, its bytes, a `Response` with these bytes, or a promise of one of them.
 */
export function init(
  source: WebAssembly.Module | BufferSource | Response | Promise<WebAssembly.Module | BufferSource | Response>,
): Promise<void>;
