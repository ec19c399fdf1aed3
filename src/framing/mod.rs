//! Framing: bytes to frames, incrementally.

pub(crate) mod sse;
