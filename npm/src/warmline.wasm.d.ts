/** The module, as bundlers for edge runtimes import it. */
declare const module: WebAssembly.Module;
export default module;
