//! Asks about an image: `cargo run --example vision -- picture.png "What is this?"`

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use warmline::{Client, MediaSource, Message, Part, Request};

/// The default image: one red pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let image = match arguments.next() {
        Some(path) => {
            let kind = if path.ends_with(".png") {
                "image/png"
            } else {
                "image/jpeg"
            };
            MediaSource::base64(kind, STANDARD.encode(std::fs::read(path)?))
        }
        None => MediaSource::base64("image/png", PIXEL),
    };
    let question = arguments
        .next()
        .unwrap_or_else(|| "What do you see?".to_owned());
    let turn = Message::user(question).with(Part::image(image));
    let reply = Client::from_env()?
        .chat(Request::new().message(turn))
        .await?;
    println!("{}", reply.text());
    Ok(())
}
