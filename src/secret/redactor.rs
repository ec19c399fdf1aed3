//! Removes a secret from a body that arrives in pieces.

use bytes::Bytes;

use super::{MIN_IN_REPLIES, Secret};

/// Removes a secret from pieces of a body. What may be the start of the secret is held back until the next piece.
pub(crate) struct Redactor {
    secret: Secret,
    held: Bytes,
}

impl Redactor {
    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            secret,
            held: Bytes::new(),
        }
    }

    /// Returns what can be passed on after the next piece. It can be empty.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.secret.len() < MIN_IN_REPLIES {
            return piece;
        }
        let held = std::mem::take(&mut self.held);
        let mut whole = match held.is_empty() {
            true => piece,
            false => [held, piece].concat().into(),
        };
        self.held = whole.split_off(self.secret.patterns().start_at_end(&whole));
        self.secret.redacted(&whole).unwrap_or(whole)
    }

    /// Returns what was held back, at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        self.secret.redacted(&held).unwrap_or(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_removed_wherever_a_body_is_cut() {
        let secret = Secret::from("sk-0123456789abcdef");
        for text in [
            "before sk-0123456789abcdef after",
            "sk-0123456789abcdef",
            "%73k-0123456789abcdef, \\u0073k-0123456789abcdef",
            "sk-012 is only a start, and so is sk-0123456789",
            "nothing at all",
        ] {
            let expected = secret.redacted(text.as_bytes());
            let expected = expected.unwrap_or_else(|| Bytes::from_static(text.as_bytes()));
            for size in 1..=text.len() {
                let mut redactor = Redactor::new(secret.clone());
                let mut out = Vec::new();
                for piece in text.as_bytes().chunks(size) {
                    out.extend_from_slice(&redactor.push(Bytes::copy_from_slice(piece)));
                }
                out.extend_from_slice(&redactor.finish());
                assert_eq!(Bytes::from(out), expected, "{text} in pieces of {size}");
            }
        }
    }
}
