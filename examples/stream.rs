//! Prints a reply as it is generated: `cargo run --example stream`

use std::io::{Write, stdout};

use warmline::{Client, StreamEvent};

#[tokio::main]
async fn main() -> warmline::Result<()> {
    let client = Client::from_env()?;
    let mut stream = client.stream("Tell me a story in three sentences.");
    while let Some(event) = stream.next().await {
        match event? {
            StreamEvent::Text { text } => {
                print!("{text}");
                // A failure to print does not end the stream.
                let _ = stdout().flush();
            }
            StreamEvent::Done { reply } => println!("\n[{:?}]", reply.stop_reason),
            _ => {}
        }
    }
    Ok(())
}
