//! The memory that a stream takes while it waits: `cargo bench --bench held_streams`.
//!
//! A server in a process of its own sends a piece of text on each of 3,000 connections, and then nothing. The figure is the resident
//! memory of the client's process, divided by the number of streams. The floor is hyper's connection alone: the same without Warmline.
//! It works on Linux, where `/proc/self/statm` tells the memory.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::{Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use warmline::{Client, Limits, Provider, StreamEvent};

const STREAMS: usize = 3_000;
/// The most that a stream may take, in bytes.
const MOST: usize = 32 << 10;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Sends a piece of text to whoever connects, and then nothing.
async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let _ = socket.read(&mut request).await;
            let text =
                r#"data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
            let chunk = format!("{:x}\r\n{text}\n\n\r\n", text.len() + 2);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = socket.write_all([head, &chunk].concat().as_bytes()).await;
            let _ = socket.read(&mut request).await;
        });
    }
}

/// Holds streams of Warmline.
async fn hold(address: &str) -> usize {
    let client = Client::builder(Provider::OpenAi)
        .base_url(format!("http://{address}/v1"))
        .no_proxy()
        .limits(Limits {
            max_connections: STREAMS,
            ..Limits::default()
        })
        .model("m")
        .build()
        .unwrap();
    let before = resident();
    let (began, mut begins) = tokio::sync::mpsc::channel(1);
    let mut held = JoinSet::new();
    for _ in 0..STREAMS {
        let mut stream = client.stream("Hello");
        let began = began.clone();
        held.spawn(async move {
            while let Some(Ok(event)) = stream.next().await {
                if let StreamEvent::Text { .. } = event {
                    began.send(()).await.unwrap();
                }
            }
        });
        begins.recv().await.unwrap();
    }
    (resident() - before) / STREAMS
}

/// Holds responses of hyper's.
async fn hold_floor(address: &str) -> usize {
    let before = resident();
    let (began, mut begins) = tokio::sync::mpsc::channel(1);
    let mut held = JoinSet::new();
    for _ in 0..STREAMS {
        let (address, began) = (address.to_owned(), began.clone());
        held.spawn(async move {
            let socket = TokioIo::new(TcpStream::connect(&address).await.unwrap());
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(socket).await.unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::post("/v1/chat/completions")
                .header("host", &address)
                .body(Full::new(Bytes::from_static(b"{}")))
                .unwrap();
            let mut response = sender.send_request(request).await.unwrap();
            while let Some(Ok(_)) = response.frame().await {
                began.send(()).await.unwrap();
            }
        });
        begins.recv().await.unwrap();
    }
    (resident() - before) / STREAMS
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let role = std::env::args().nth(1).unwrap_or_default();
    let address = std::env::args().nth(2).unwrap_or_default();
    match role.as_str() {
        "serve" => runtime.block_on(serve()),
        "hold" => println!("{}", runtime.block_on(hold(&address))),
        "floor" => println!("{}", runtime.block_on(hold_floor(&address))),
        _ => measure(),
    }
}

fn measure() {
    use std::io::BufRead;
    let this = std::env::current_exe().unwrap();
    let mut server = Command::new(&this)
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    let mut lines = std::io::BufReader::new(server.stdout.take().unwrap());
    lines.read_line(&mut address).unwrap();
    let run = |role: &str| -> usize {
        let output = Command::new(&this)
            .args([role, address.trim()])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().unwrap()
    };
    let (floor, held) = (run("floor"), run("hold"));
    println!("{STREAMS} held streams: {held} bytes each; hyper alone: {floor}");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(held <= MOST, "a held stream takes more than {MOST} bytes");
}
