//! Connections: accepted, counted, with TLS and a delay if they are configured, and served.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;

use crate::config::Config;
use crate::delay::delayed;
use crate::faulty_io::{FaultyIo, WriteFault};
use crate::handler::Handler;
use crate::stats::{CloseSignal, Counters};

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Accepts connections until its task is aborted.
pub(crate) async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    counters: Arc<Counters>,
    config: Config,
) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let acceptor = acceptor.clone();
        let counters = counters.clone();
        let config = config.clone();
        // Counted before the task starts, so that sockets have the order in which the kernel accepted them.
        let Ok((socket, second)) = two_handles(socket) else {
            continue;
        };
        let (id, close) = counters.accepted(second);
        tokio::spawn(async move {
            tokio::select! {
                _ = serve(socket, acceptor, id, &close, &counters, &config) => {}
                () = close.at_once.notified() => {}
            }
            counters.closed(id);
        });
    }
}

fn two_handles(socket: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    socket.set_nodelay(true)?;
    let socket = socket.into_std()?;
    let second = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, second))
}

/// Serves one connection to its end.
async fn serve(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    id: usize,
    close: &Arc<CloseSignal>,
    counters: &Arc<Counters>,
    config: &Config,
) -> io::Result<()> {
    let mut io: Box<dyn Io> = match config.one_way_delay {
        Duration::ZERO => Box::new(socket),
        one_way => Box::new(delayed(socket, one_way)),
    };
    if let Some(acceptor) = acceptor {
        let tls = acceptor.accept(io).await?;
        let resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        counters.update(|stats| {
            stats.tls += 1;
            stats.tls_resumed += usize::from(resumed);
        });
        io = Box::new(tls);
    }
    let write_fault = WriteFault::default();
    let handler = Arc::new(Handler {
        id,
        write_fault: write_fault.clone(),
        counters: counters.clone(),
        pace: config.pace,
        close: close.clone(),
    });
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true);
    let io = FaultyIo { io, write_fault };
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), service));
    loop {
        tokio::select! {
            result = serving.as_mut() => return result.map_err(io::Error::other),
            () = close.gracefully.notified() => serving.as_mut().graceful_shutdown(),
        }
    }
}
