//! The size of the futures that callers hold.
#![allow(clippy::unwrap_used)]

use std::mem::size_of_val;

use warmline::{Client, Provider};

/// A caller that spawns, joins or boxes a future moves it, several times in some executors.
#[test]
fn futures_of_calls_are_small() {
    let client = Client::builder(Provider::OpenAi).api_key("key").build();
    let client = client.unwrap();
    let mut stream = client.stream("Hi");
    for (name, size) in [
        ("chat", size_of_val(&client.chat("Hi"))),
        ("next", size_of_val(&stream.next())),
        ("into_reply", size_of_val(&client.stream("Hi").into_reply())),
        ("passthrough", size_of_val(&client.passthrough("{}", []))),
        ("warm_up", size_of_val(&client.warm_up(1))),
    ] {
        assert!(size <= 1536, "the future of {name} has {size} bytes");
    }
}
