//! The simulator's count of sockets, which the pool's tests rely on.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpStream;

use warmline_sim::{Config, Sim};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_that_its_client_closed_does_not_count_although_it_has_not_been_read() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let address = sim.url().replace("http://", "");
    // On this one thread the simulator sees nothing of the three before the test waits.
    for _ in 0..2 {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.write_all(b"POST /v1/messages HTTP/1.1\r\n").unwrap();
    }
    let _open = TcpStream::connect(&address).unwrap();
    let stats = sim.wait_until(|s| s.total == 3).await;
    assert_eq!((stats.open, stats.peak), (1, 1));
}
