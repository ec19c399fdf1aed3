// Node, Deno and Bun: the module is part of the code, so that it is found whatever a bundler makes of this file.
import "./environment.js";
import { base64 } from "./base64.js";
import { provide } from "./load.js";

function bytes() {
  // Node has no `fromBase64` before version 25, and its `atob` is slow.
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  if (typeof Buffer === "function") return Buffer.from(base64, "base64");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// A page must not wait while the module is compiled.
provide(() => (typeof document === "undefined" ? new WebAssembly.Module(bytes()) : WebAssembly.compile(bytes())));
export * from "./index.js";
