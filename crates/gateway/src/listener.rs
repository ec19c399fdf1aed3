//! Listening for callers.

use std::net::SocketAddr;

use axum::serve::{Listener, ListenerExt};
use tokio::net::{TcpListener, TcpStream};

/// Sets `TCP_NODELAY` on each connection that `listener` accepts. Use it for every server that mounts a gateway: otherwise the system
/// holds back the small writes of a stream until the caller has acknowledged the write before, which callers delay by up to 40 ms.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let serve = axum::serve(warmline_gateway::nodelay(listener), axum::Router::new());
/// # Ok(()) }
/// ```
pub fn nodelay(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener.tap_io(|socket| {
        // This fails if the caller has closed the connection already, which is noticed when it is read.
        let _ = socket.set_nodelay(true);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_have_nodelay_set() {
        let mut listener = nodelay(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let _caller = TcpStream::connect(address).await.unwrap();
        let (socket, _) = listener.accept().await;
        assert!(socket.nodelay().unwrap());
    }
}
