//! A gateway for LLM APIs as an [axum] router that you can mount in your own server.
//!
//! Callers in any language send requests in the dialect of Anthropic or OpenAI, unchanged but for the base URL. The gateway sends them on
//! through [`warmline::Client`]s, with their connection pools, retries and budgets, so that callers need no key of the provider.
//!
//! ```no_run
//! use warmline::Client;
//! use warmline_gateway::{Gateway, Server, not_found};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::builder().client(Client::from_env()?).build()?;
//! let app = gateway.router_with_fallback(axum::Router::new().fallback(not_found));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8787").await?;
//! Server::new(listener).serve(app).await;
//! # Ok(()) }
//! ```
//!
//! | route | what it does |
//! | --- | --- |
//! | `POST /v1/messages` | forwards a request to a provider that serves its model in Anthropic's API |
//! | `POST /v1/chat/completions` | the same for OpenAI's Chat Completions API |
//! | `POST /v1/responses` | the same for OpenAI's Responses API |
//! | `POST /v1/messages/count_tokens`, `POST /v1/responses/input_tokens` | the number of a request's input tokens, or an upper bound if the provider does not count; it takes nothing of budgets, and has a limit of its own |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models of all providers and the router's names, in Anthropic's shape with the header `anthropic-version` (pages by `limit`, `after_id`, `before_id`), else in OpenAI's |
//! | any other `/v1/…` | passed through to a provider; see below |
//! | `GET /v1/llm/stats` | statistics of pools, calls and spend as JSON; `?every=1000` sends them each second as server-sent events, `?samples=60` limits the samples of the pools |
//! | `GET /metrics` | metrics in OpenMetrics' text format |
//! | `GET /healthz` | 200 while the process runs |
//! | `GET /readyz` | 200 if the ledger can be reached, else 503 |
//!
//! Paths may lack `/v1`, may have it twice, and may end with a slash. They are compared in their normal form (RFC 3986), and one that a server could
//! read as another path gets status 400. With [`ApiKeys`], `/metrics` needs the key of an operator, and `/v1/llm/stats` shows
//! other callers only what they have spent themselves.
//!
//! The query of a request reaches the provider, and so do its headers `anthropic-beta`, `anthropic-version`, `idempotency-key` and `openai-beta`.
//!
//! Lists of models are asked for at once, for at most 2 s, and kept for a minute. A provider that fails is left out, and asked again after 10 s.
//!
//! # Other paths
//! A request to a path below `/v1` that is not in the table, such as `/v1/embeddings`, `/v1/files` or `/v1/responses/{id}`, is passed through with
//! [`Client::forward`](warmline::Client::forward), to the provider or target that
//!
//! 1. the header `x-warmline-provider` names, such as `openai`,
//! 2. stands before a slash in the `model` of a JSON body, such as `openai/text-embedding-3-small`, which is then sent without it,
//! 3. is the only one with the caller's API: Anthropic's if there is the header `anthropic-version` or the path begins with `/v1/messages`,
//!    else OpenAI's; or the only one at all.
//!
//! If none of these names one, the response is a 404 that says so. What such a request costs is not known, and is not counted. Within a budget, only `GET`,
//! `HEAD` and `DELETE` are passed through; others get status 400. Each takes one request of the limits of its key, and one whose body is JSON also
//! tokens. All callers share the provider's account there; a key with `"other_endpoints": false` gets status 403.
//!
//! A 304 is passed on. Another redirect is neither followed nor passed on, and gets status 502.
//!
//! Errors have the shape of the caller's dialect. The gateway reads no environment variable, and no file but by [`ApiKeys::from_file`].
//! `crates/gateway/examples/mount.rs` is a server that mounts it beside a route of its own, and `warmline serve` is one that serves it alone.
//!
//! TLS to providers is by the feature `rustls` (the default) or `native-tls`.

mod accounts;
mod alert_log;
mod api_error;
mod api_keys;
mod call_stats;
mod calls;
mod connection;
mod error;
mod forward;
mod forward_body;
mod gateway;
mod guard;
mod host;
mod latest_event;
mod limit_headers;
mod live_stats;
mod metrics;
mod model_lists;
mod models;
mod origin;
mod paths;
mod prometheus;
mod proxy_body;
mod rate_limits;
mod relay;
mod request_body;
mod routes;
mod server;
mod state;
mod targets;

pub use alert_log::AlertLog;
pub use api_keys::ApiKeys;
pub use error::{ConfigError, shown_path};
pub use gateway::{Gateway, GatewayBuilder};
pub use host::AllowedHost;
pub use origin::AllowedOrigin;
pub use routes::not_found;
pub use server::{Server, Stopped};
