//! A connection that can be cut at a byte.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What becomes of what is written from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<Mutex<Fate>>);

#[derive(Debug, Default)]
enum Fate {
    #[default]
    Arrives,
    EndsAfter(usize),
    Garbled,
}

impl Cut {
    /// So many bytes more, and then the connection breaks.
    pub(crate) fn after(&self, bytes: usize) {
        self.set(Fate::EndsAfter(bytes));
    }

    /// Bytes arrive, but not those that were sent.
    pub(crate) fn garble(&self) {
        self.set(Fate::Garbled);
    }

    fn set(&self, fate: Fate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }
}

pub(crate) struct Wire<T> {
    pub(crate) io: T,
    pub(crate) cut: Cut,
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let cut = self.cut.clone();
        let mut fate = cut.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *fate {
            Fate::Arrives => Pin::new(&mut self.io).poll_write(cx, bytes),
            Fate::Garbled => Pin::new(&mut self.io).poll_write(cx, &vec![b'#'; bytes.len()]),
            Fate::EndsAfter(0) => Poll::Ready(Err(Error::new(
                ErrorKind::BrokenPipe,
                "cut by the scenario",
            ))),
            Fate::EndsAfter(left) => {
                let written =
                    Pin::new(&mut self.io).poll_write(cx, &bytes[..bytes.len().min(*left)]);
                if let Poll::Ready(Ok(n)) = written {
                    *left -= n;
                }
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
