//! A connection with latency.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The server's end of a connection on which each byte arrives `one_way` after it was sent.
///
/// The kernel has completed TCP's handshake by now without a delay. The first bytes of the client are delayed
/// by another round trip in its place.
pub(crate) fn delayed(socket: TcpStream, one_way: Duration) -> DuplexStream {
    let (near, far) = duplex(256 << 10);
    let (from_client, to_client) = socket.into_split();
    let (from_server, to_server) = split(far);
    let connected = Instant::now() + 3 * one_way;
    tokio::spawn(forward(from_client, to_server, one_way, connected));
    tokio::spawn(forward(from_server, to_client, one_way, Instant::now()));
    near
}

/// Forwards bytes, each `one_way` after it was read and none before `not_before`.
async fn forward(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    one_way: Duration,
    not_before: Instant,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            if sender
                .send((
                    (Instant::now() + one_way).max(not_before),
                    buffer[..n].to_vec(),
                ))
                .is_err()
            {
                return;
            }
        }
    });
    while let Some((arrives, bytes)) = receiver.recv().await {
        sleep_until(arrives).await;
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // The sender has closed its end, or the receiver accepts no more bytes.
    let _ = to.shutdown().await;
    reading.abort();
}
