//! The differences between targets: time, randomness, conversion of floats, background tasks, and whether futures are `Send`.
//! Apart from `transport`, no other module depends on the target.

/// Items that exist on native targets only.
macro_rules! native_only {
    ($($item:item)*) => { $(#[cfg(not(target_family = "wasm"))] $item)* };
}
pub(crate) use native_only;

/// Items that exist on WebAssembly only.
macro_rules! wasm_only {
    ($($item:item)*) => { $(#[cfg(target_family = "wasm")] $item)* };
}
pub(crate) use wasm_only;

/// Whether spans and events are compiled in. In the npm package they are not, and the compiler removes what only they need.
pub(crate) const TRACED: bool = !matches!(
    tracing::level_filters::STATIC_MAX_LEVEL,
    tracing::level_filters::LevelFilter::OFF
);

cfg_if::cfg_if! {
    if #[cfg(target_family = "wasm")] {
        mod wasm;
        pub use wasm::{BoxFuture, MaybeSend, MaybeSync};
        pub(crate) use wasm::*;
    } else {
        mod native;
        pub use native::{BoxFuture, MaybeSend, MaybeSync};
        pub(crate) use native::*;
    }
}

mod timer;

pub(crate) use self::timer::Timer;
