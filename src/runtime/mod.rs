//! What each target does in its own way: time, chance, floats as text, and whether futures cross threads.

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod wasm;
        pub(crate) use wasm::*;
    } else {
        mod native;
        pub(crate) use native::*;
    }
}
