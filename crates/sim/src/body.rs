//! A response body as a list of steps.

use std::collections::VecDeque;
use std::io::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::stats::Books;

#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes, and how many tokens of the reply they hold.
    Data(Bytes, u64),
    /// Lets what was written go out before the next step.
    Flush,
    Wait(Duration),
    Stall,
    /// Ends the connection without an end to the body; RST where asked for.
    Fail {
        reset: bool,
    },
}

impl Step {
    pub(crate) fn data(text: impl Into<Bytes>) -> Self {
        Self::Data(text.into(), 0)
    }
}

/// A request from its arrival to the end of its response, however that comes about.
pub(crate) struct Active {
    books: Arc<Books>,
    ended: bool,
}

impl Active {
    pub(crate) fn new(books: Arc<Books>) -> Self {
        books.note(|stats| stats.active += 1);
        Self {
            books,
            ended: false,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.books.note(|stats| {
            stats.active -= 1;
            stats.aborted += usize::from(!self.ended);
        });
    }
}

pub(crate) struct Steps {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    books: Arc<Books>,
    connection: usize,
    active: Option<Active>,
}

impl Steps {
    /// The body of the response to a request, if it answers one that counts.
    pub(crate) fn new(
        steps: Vec<Step>,
        books: Arc<Books>,
        connection: usize,
        active: Option<Active>,
    ) -> Self {
        Self {
            steps: steps.into(),
            sleep: None,
            books,
            connection,
            active,
        }
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(bytes, tokens)) => {
                    if tokens > 0 {
                        self.books.note(|stats| stats.output_tokens += tokens);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(time)) => self.sleep = Some(Box::pin(sleep(time))),
                Some(Step::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Fail { reset }) => {
                    if reset {
                        self.books.reset(self.connection);
                    }
                    self.steps.clear();
                    return Poll::Ready(Some(Err(Error::other("cut by the scenario"))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let mut size = 0;
        for step in &self.steps {
            match step {
                Step::Data(bytes, _) => size += bytes.len() as u64,
                _ => return SizeHint::default(),
            }
        }
        SizeHint::with_exact(size)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(active) = &mut self.active {
            active.ended = self.steps.is_empty();
        }
    }
}
