//! Providers: who is called, at which URL and in which dialect.

mod below;
mod endpoint;
mod preset;
mod settings;
mod table;

pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::settings::{Setting, Settings, ollama_url};
pub use self::table::Provider;
pub(crate) use self::table::{Prices, Regional, Row};
