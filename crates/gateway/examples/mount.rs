//! A server that mounts the gateway below `/llm`, beside a route of its own.
//!
//! ```sh
//! ANTHROPIC_API_KEY=… cargo run -p warmline-gateway --example mount
//! curl http://127.0.0.1:8080/llm/v1/messages -H 'content-type: application/json' -d '{
//!     "model": "claude-haiku-4-5", "max_tokens": 100, "stream": true,
//!     "messages": [{"role": "user", "content": "Hello"}]}'
//! curl http://127.0.0.1:8080/llm/v1/llm/stats
//! ```
//!
//! To try it without a key, start the simulated provider by `cargo run -p warmline-sim`, and set `ANTHROPIC_BASE_URL` as it prints.

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use warmline::Client;
use warmline_gateway::{Gateway, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::builder().client(Client::from_env()?).build()?;
    let app = Router::new()
        .route("/", get(|| async { "This server's own page.\n" }))
        .nest("/llm", gateway.router());

    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(gateway.sample_pools());
    let shutdown = {
        let gateway = gateway.clone();
        async move {
            let _ = tokio::signal::ctrl_c().await;
            gateway.shutdown();
        }
    };
    let stopped = Server::new(listener).shutdown_on(shutdown).serve(app).await;
    println!("{} requests were cut", stopped.cut_requests);
    gateway.flush().await?;
    Ok(())
}
