//! The redis-server of a simulator ends with it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_redis_server_ends_with_a_process_that_is_killed() {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_warmline-sim"))
        .arg("--redis")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sim.stdout.take().unwrap()).lines();
    let mut addresses = lines.filter_map(|line| {
        let line = line.unwrap();
        line.strip_prefix("REDIS_URL=redis://").map(str::to_owned)
    });
    let mut redis = TcpStream::connect(addresses.next().unwrap()).unwrap();
    redis
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    redis.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    redis.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    sim.kill().unwrap();
    sim.wait().unwrap();
    // Its end closes the connection.
    assert_eq!(redis.read(&mut answer).unwrap_or_default(), 0);
    let address = redis.peer_addr().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
