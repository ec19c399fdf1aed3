//! The function that the caller may set in place of the runtime's `fetch`.

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        pub(crate) type Fetch = js_sys::Function;
    } else {
        /// Natively there is none.
        pub(crate) type Fetch = std::convert::Infallible;
    }
}
