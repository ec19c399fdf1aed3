//! Prints a complete reply: `cargo run --example chat "Why is the sky blue?"`

use warmline::{Client, Request};

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let question = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "Why is the sky blue?".to_owned());
    let client = Client::from_env()?;
    let request = Request::new()
        .system("Answer in one sentence.")
        .user(question)
        .max_tokens(256);
    let reply = client.chat(request).await?;
    println!("{}", reply.text());
    println!(
        "{} tokens in {:?}",
        reply.usage.output_tokens, reply.timing.total
    );
    Ok(())
}
