/** The module, as bundlers for edge runtimes import it: a `WebAssembly.Module`, where that type is declared. Node's types do not declare it. */
declare const module: typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } } ? Module : object;
export default module;
