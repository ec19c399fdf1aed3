//! A network with a travelling time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The server's end of a connection on which each byte arrives `one_way` after it was sent. TCP's own
/// handshake, which the kernel has done by now, is charged to the first bytes: a round trip.
pub(crate) fn delayed(socket: TcpStream, one_way: Duration) -> DuplexStream {
    let (near, far) = duplex(256 << 10);
    let (from_client, to_client) = socket.into_split();
    let (from_server, to_server) = split(far);
    let connected = Instant::now() + 3 * one_way;
    tokio::spawn(carry(from_client, to_server, one_way, connected));
    tokio::spawn(carry(from_server, to_client, one_way, Instant::now()));
    near
}

async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    one_way: Duration,
    not_before: Instant,
) {
    let (sent, mut travelling) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            if sent
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
    while let Some((arrives, bytes)) = travelling.recv().await {
        sleep_until(arrives).await;
        if to.write_all(&bytes).await.is_err() {
            break;
        }
    }
    // Here the other end has closed, or this one cannot be written to any more.
    let _ = to.shutdown().await;
    reading.abort();
}
