use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::runtime::{Instant, Timer};
use crate::timeouts::Timeouts;
use crate::{Error, TimeoutKind};

/// The clock of a call: its timeouts, and the one timer that waits for whichever ends first.
pub(super) struct Clock {
    pub(super) start: Instant,
    timeouts: Timeouts,
    timer: Option<Timer>,
}

impl Clock {
    pub(super) fn start(timeouts: Timeouts) -> Self {
        Self {
            start: Instant::now(),
            timeouts,
            timer: None,
        }
    }

    /// Waits until `due`.
    fn poll_until(&mut self, due: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if due <= now {
            return Poll::Ready(());
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Timer::new(self.timeouts.timeout));
        timer.poll_until(cx, due)
    }

    /// Waits for a time that began at `since`.
    pub(super) fn poll_elapsed(
        &mut self,
        since: Instant,
        time: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_until(since + time, Instant::now(), cx)
    }

    /// Waits for the deadline, if there is one.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(deadline) = self.timeouts.deadline else {
            return Poll::Pending;
        };
        ready!(self.poll_elapsed(self.start, deadline, cx));
        Poll::Ready(Error::timeout(TimeoutKind::Deadline, deadline))
    }

    /// Waits for the timeout of a silence or for the deadline. The silence begins now if it has not begun.
    pub(super) fn poll_silence(
        &mut self,
        since: &mut Option<Instant>,
        is_writing_text: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Error> {
        let now = Instant::now();
        let (mut which, mut timeout) = match is_writing_text {
            true => (TimeoutKind::Read, self.timeouts.timeout),
            false => (TimeoutKind::Reply, self.timeouts.reply),
        };
        let mut due = *since.get_or_insert(now) + timeout;
        if let Some(deadline) = self.timeouts.deadline
            && self.start + deadline < due
        {
            due = self.start + deadline;
            (which, timeout) = (TimeoutKind::Deadline, deadline);
        }
        ready!(self.poll_until(due, now, cx));
        Poll::Ready(Error::timeout(which, timeout))
    }
}
