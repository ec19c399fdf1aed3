import type module from "./warmline.wasm.js";
export * from "./index.js";

/**
 * Loads the WebAssembly module, `warmline/warmline.wasm`. Call it before a client makes its first call; without it, calls fail with a `ConfigError`.
 *
 * ```ts types
 * await init(fetch("/assets/warmline.wasm"));
 * ```
 *
 * @param source The module `warmline/warmline.wasm`, its bytes, a `Response` with these bytes, or a promise of one of them.
 */
export function init(source: Source | Promise<Source>): Promise<void>;

/** What the module is loaded from. */
type Source = typeof module | ArrayBuffer | ArrayBufferView | Response;
