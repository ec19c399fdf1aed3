// The module's type, where `WebAssembly` is declared.
import { init } from "warmline/manual";
import wasm from "warmline/warmline.wasm";

const module: WebAssembly.Module = wasm;
await init(module);
