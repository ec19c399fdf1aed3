//! The redis-server of a simulator ends with it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starts a simulator with its redis-server, and connects to that.
fn start() -> (Child, TcpStream) {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_warmline-sim"))
        .args(["--redis", "--until-stdin-ends"])
        .stdin(Stdio::piped())
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
    (sim, redis)
}

/// Its end closes the connection.
fn ends(mut redis: TcpStream) {
    match redis.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_redis_server_ends_with_a_simulator_that_is_killed() {
    let (mut sim, redis) = start();
    sim.kill().unwrap();
    sim.wait().unwrap();
    ends(redis);
}

#[test]
fn a_simulator_ends_with_its_standard_input() {
    let (mut sim, redis) = start();
    // As when the program that holds it is killed. Waiting would close it too.
    drop(sim.stdin.take());
    ends(redis);
    assert!(sim.wait().unwrap().success());
}
