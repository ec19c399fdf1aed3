use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::connector::BoxIo;

/// What is known about the writes to a socket.
#[derive(Default)]
pub(super) struct Writes {
    /// The number of bytes that were written.
    pub(super) bytes: AtomicU64,
    /// Whether a write has failed.
    pub(super) failed: AtomicBool,
}

/// A socket and its permit. The fields are dropped in this order, so that the socket is closed before the permit is released.
pub(super) struct PermitIo<P> {
    pub(super) io: BoxIo,
    pub(super) writes: Arc<Writes>,
    /// Whether hyper does not learn of failed writes. A server can answer with an error, such as a 413, and close the connection
    /// before it has read the request. The write then fails, but the response can still be read.
    pub(super) ignores_write_errors: bool,
    pub(super) _permit: P,
}

impl<P> PermitIo<P> {
    fn written(&self, result: Poll<Result<usize>>, len: usize) -> Poll<Result<usize>> {
        match &result {
            Poll::Ready(Ok(n)) => {
                self.writes.bytes.fetch_add(*n as u64, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) if self.ignores_write_errors => {
                tracing::debug!(%error, "a write failed; the response may still arrive");
                self.writes.failed.store(true, Ordering::Relaxed);
                return Poll::Ready(Ok(len));
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        result
    }

    fn is_discarding(&self) -> bool {
        self.writes.failed.load(Ordering::Relaxed)
    }
}

impl<P: Unpin> Read for PermitIo<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<P: Unpin> Write for PermitIo<P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        if self.is_discarding() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(result, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_discarding() {
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.written(result.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if self.is_discarding() {
            return Poll::Ready(Ok(len));
        }
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(result, len)
    }
}
