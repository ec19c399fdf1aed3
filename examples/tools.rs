//! Lets a model call a tool: `cargo run --example tools`

use serde::Deserialize;
use serde_json::json;
use warmline::{Client, Message, Part, Request, Role, Tool};

#[derive(Deserialize)]
struct Place {
    city: String,
}

fn weather(place: &Place) -> String {
    format!("In {} it is sunny, at 21 °C.", place.city)
}

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let client = Client::from_env()?;
    let tool = Tool::new(
        "weather",
        "The weather in a city, now.",
        json!({
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        }),
    );
    let mut request = Request::new()
        .user("What is the weather in Bern?")
        .tool(tool);
    loop {
        let reply = client.chat(request.clone()).await?;
        let mut results = Vec::new();
        for call in reply.tool_calls() {
            println!("{}({})", call.name, call.arguments);
            results.push(Part::tool_result(&call.id, weather(&call.parse()?)));
        }
        if results.is_empty() {
            println!("{}", reply.text());
            return Ok(());
        }
        request = request.message(reply.into_message());
        request = request.message(Message {
            role: Role::User,
            content: results,
        });
    }
}
