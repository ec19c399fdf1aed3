use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The frames of a passthrough that precede the first content of an attempt. A caller who has waited for long gets them early.
#[derive(Clone, Default)]
pub(super) struct Early(Arc<Mutex<EarlyFrames>>);

#[derive(Default)]
struct EarlyFrames {
    frames: Vec<Bytes>,
    /// Whether they hold more than comments, so that another attempt would repeat something.
    has_events: bool,
    handed_out: bool,
}

impl Early {
    fn lock(&self) -> MutexGuard<'_, EarlyFrames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, frames: Bytes, has_events: bool) {
        let mut early = self.lock();
        early.has_events |= has_events;
        if !frames.is_empty() {
            early.frames.push(frames);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().frames.is_empty()
    }

    pub(super) fn take(&self) -> Vec<Bytes> {
        let mut early = self.lock();
        early.handed_out |= early.has_events;
        std::mem::take(&mut early.frames)
    }

    /// Discards the frames of a failed attempt, and returns whether there can be another attempt.
    pub(super) fn reset(&self) -> bool {
        let mut early = self.lock();
        early.frames.clear();
        early.has_events = false;
        !early.handed_out
    }
}
