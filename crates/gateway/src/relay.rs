//! The bodies of HTTP/2 responses.
//!
//! A caller of HTTP/2 decides by the windows of its streams how much is sent, and a body that may not be sent is not polled. So that one
//! who opens no window does not hold a call for ever, a task reads the body, and gives up if nobody takes what it has read.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::stream;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

/// The largest piece that is handed on at once. A caller takes each piece within the timeout, so a large body can take longer.
const PIECE: usize = 64 << 10;

/// What the task hands on: bytes, or the end of the body. Without it the body was cut.
enum Item {
    Bytes(Bytes),
    End,
}

/// Returns a body that is read by a task of its own. It is dropped if a piece is not taken within `stall`.
pub(crate) fn relayed(body: Body, stall: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(relay(body, sender, stall));
    Body::from_stream(stream::try_unfold(
        receiver,
        async |mut receiver| match receiver.recv().await {
            Some(Item::Bytes(bytes)) => Ok(Some((bytes, receiver))),
            Some(Item::End) => Ok(None),
            None => Err("the response was cut"),
        },
    ))
}

async fn relay(mut body: Body, sender: mpsc::Sender<Item>, stall: Duration) {
    let send = async |item| {
        let sent = sender.send_timeout(item, stall).await;
        sent.is_ok()
    };
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = sender.closed() => return,
        };
        match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
            None => {
                send(Item::End).await;
                return;
            }
            Some(Ok(Ok(mut bytes))) => {
                while !bytes.is_empty() {
                    let piece = bytes.split_to(PIECE.min(bytes.len()));
                    if !send(Item::Bytes(piece)).await {
                        return;
                    }
                }
            }
            // Trailers, which no response here has.
            Some(Ok(Err(_))) => {}
            Some(Err(_)) => return,
        }
    }
}
