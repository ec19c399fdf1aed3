//! Parses a reply into a type of your own: `cargo run --example structured`

use serde::Deserialize;
use serde_json::json;
use warmline::{Client, Request};

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct City {
    name: String,
    country: String,
    inhabitants: u64,
}

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let client = Client::from_env()?;
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "country": {"type": "string"},
            "inhabitants": {"type": "integer"},
        },
        "required": ["name", "country", "inhabitants"],
        "additionalProperties": false,
    });
    let request = Request::new()
        .user("Name a city on the Aare.")
        .response_format("city", schema);
    let city: City = client.chat(request).await?.parse()?;
    println!("{city:?}");
    Ok(())
}
