import type module from "./warmline.wasm.js";
export * from "./index.js";

/** Loads the core from the module `warmline/warmline.wasm`, its bytes, a `Response` with these bytes, or a promise of one of them. Call it before any other function. */
export function init(source: Source | Promise<Source>): Promise<void>;

type Source = typeof module | ArrayBuffer | ArrayBufferView | Response;
