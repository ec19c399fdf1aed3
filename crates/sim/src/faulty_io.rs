//! A connection whose writes can be made to fail.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Sets what happens to the bytes that are written from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteFault(Arc<Mutex<Mode>>);

#[derive(Debug, Default)]
enum Mode {
    /// Bytes arrive as they were written.
    #[default]
    Normal,
    /// Writing fails after so many bytes.
    FailAfter(usize),
    /// As many bytes arrive, but other ones.
    Garbled,
}

impl WriteFault {
    /// Makes writing fail after so many more bytes.
    pub(crate) fn fail_after(&self, bytes: usize) {
        self.set(Mode::FailAfter(bytes));
    }

    /// Replaces the bytes that are written.
    pub(crate) fn garble(&self) {
        self.set(Mode::Garbled);
    }

    fn set(&self, mode: Mode) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

pub(crate) struct FaultyIo<T> {
    pub(crate) io: T,
    pub(crate) write_fault: WriteFault,
}

impl<T: AsyncRead + Unpin> AsyncRead for FaultyIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FaultyIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let fault = self.write_fault.clone();
        let mut mode = fault.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *mode {
            Mode::Normal => Pin::new(&mut self.io).poll_write(cx, bytes),
            Mode::Garbled => Pin::new(&mut self.io).poll_write(cx, &vec![b'#'; bytes.len()]),
            Mode::FailAfter(0) => Poll::Ready(Err(Error::new(
                ErrorKind::BrokenPipe,
                "broken by the scenario",
            ))),
            Mode::FailAfter(left) => {
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
