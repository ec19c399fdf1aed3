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

/// What is known of the time in which nothing arrives.
pub(super) struct Silence {
    /// The start of the current wait for content. It is `None` between waits: pauses of the caller do not count.
    pub(super) since: Option<Instant>,
    /// When all that had arrived was last read.
    pub(super) read_until: Option<Instant>,
}

impl Clock {
    pub(super) fn start(timeouts: Timeouts) -> Self {
        Self {
            start: Instant::now(),
            timeouts,
            timer: None,
        }
    }

    /// Returns the timer, and creates it at the first call, which must be in a runtime. From then on it can be polled outside.
    pub(super) fn timer(&mut self) -> &mut Timer {
        self.timer
            .get_or_insert_with(|| Timer::new(self.timeouts.timeout))
    }

    /// Waits until `due`.
    fn poll_until(&mut self, due: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        match due <= now {
            true => Poll::Ready(()),
            false => self.timer().poll_until(cx, due),
        }
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

    /// Returns the deadline, if a delay from now on would last until then.
    pub(super) fn deadline_within(&self, delay: Duration) -> Option<Duration> {
        let end = self.start.elapsed().saturating_add(delay);
        self.timeouts.deadline.filter(|deadline| end >= *deadline)
    }

    /// Waits for the deadline, if there is one.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(deadline) = self.timeouts.deadline else {
            return Poll::Pending;
        };
        ready!(self.poll_elapsed(self.start, deadline, cx));
        Poll::Ready(Error::timeout(TimeoutKind::Deadline, deadline))
    }

    /// Waits for the timeout of a silence or for the deadline, after all that has arrived was read. The silence begins now if it
    /// has not begun.
    pub(super) fn poll_silence(
        &mut self,
        silence: &mut Silence,
        is_writing_text: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Error> {
        let now = Instant::now();
        silence.read_until = Some(now);
        let (mut which, mut timeout) = match is_writing_text {
            true => (TimeoutKind::Read, self.timeouts.timeout),
            false => (TimeoutKind::Reply, self.timeouts.reply),
        };
        let mut due = *silence.since.get_or_insert(now) + timeout;
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
