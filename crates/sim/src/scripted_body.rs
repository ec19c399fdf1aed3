//! A response body that a list of actions produces.

use std::collections::VecDeque;
use std::io::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::stats::Counters;

#[derive(Debug)]
pub(crate) enum Action {
    /// Sends bytes, which hold so many tokens of the reply.
    Data(Bytes, u64),
    /// Lets the bytes so far be sent before the next action.
    Flush,
    Wait(Duration),
    /// Sends nothing more, and does not end.
    Stall,
    /// Breaks the connection without ending the body, by RST or else by FIN.
    Fail {
        reset: bool,
    },
    /// From here on, the tokens of the whole reply count, even if the client leaves.
    BillOn,
}

impl Action {
    pub(crate) fn data(text: impl Into<Bytes>) -> Self {
        Self::Data(text.into(), 0)
    }
}

/// Counts a request as active until its response ends, or is dropped before its end.
pub(crate) struct InFlight {
    counters: Arc<Counters>,
    ended: bool,
}

impl InFlight {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        counters.update(|stats| stats.active += 1);
        Self {
            counters,
            ended: false,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counters.update(|stats| {
            stats.active -= 1;
            stats.aborted += usize::from(!self.ended);
        });
    }
}

pub(crate) struct ScriptedBody {
    actions: VecDeque<Action>,
    sleep: Option<Pin<Box<Sleep>>>,
    counters: Arc<Counters>,
    connection: usize,
    active: Option<InFlight>,
    bills_on: bool,
}

impl ScriptedBody {
    /// The body of a response on this connection. `in_flight` is the request that it answers, if that is counted.
    pub(crate) fn new(
        actions: Vec<Action>,
        counters: Arc<Counters>,
        connection: usize,
        active: Option<InFlight>,
    ) -> Self {
        Self {
            actions: actions.into(),
            sleep: None,
            counters,
            connection,
            active,
            bills_on: false,
        }
    }
}

impl Body for ScriptedBody {
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
            match self.actions.pop_front() {
                None => return Poll::Ready(None),
                Some(Action::Data(bytes, tokens)) => {
                    if tokens > 0 {
                        self.counters.update(|stats| stats.output_tokens += tokens);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Action::BillOn) => self.bills_on = true,
                Some(Action::Wait(time)) => self.sleep = Some(Box::pin(sleep(time))),
                Some(Action::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Action::Stall) => {
                    self.actions.push_front(Action::Stall);
                    return Poll::Pending;
                }
                Some(Action::Fail { reset }) => {
                    if reset {
                        self.counters.reset(self.connection);
                    }
                    self.actions.clear();
                    return Poll::Ready(Some(Err(Error::other("broken by the scenario"))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.actions.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let mut size = 0;
        for action in &self.actions {
            match action {
                Action::Data(bytes, _) => size += bytes.len() as u64,
                _ => return SizeHint::default(),
            }
        }
        SizeHint::with_exact(size)
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        if self.bills_on {
            let rest = self.actions.iter().map(|action| match action {
                Action::Data(_, tokens) => *tokens,
                _ => 0,
            });
            let rest: u64 = rest.sum();
            self.counters.update(|stats| stats.output_tokens += rest);
        }
        if let Some(active) = &mut self.active {
            active.ended = self.actions.is_empty();
        }
    }
}
