//! Providers: who is called, at which URL, in which dialect and with which credentials.

mod credentials;
mod endpoint;
mod preset;
mod settings;
mod table;

pub(crate) use self::credentials::secret_in;
pub use self::credentials::{AccessToken, Credentials, TokenSource};
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::settings::{Setting, Settings, ollama_url};
pub use self::table::Provider;
pub(crate) use self::table::{Prices, Regional};
