use super::request::Request;
use crate::{Error, Result, runtime};

impl Request {
    /// Refuses what only the Responses API can do.
    #[cfg(any(feature = "anthropic", feature = "openai-chat"))]
    pub(crate) fn ensure_continues_nothing(&self) -> Result<()> {
        match self.previous_response_id {
            None => Ok(()),
            Some(_) => Err(Error::config(
                "previous_response_id is known only in the dialect openai-responses: leave it out, or choose that dialect",
            )),
        }
    }

    /// Checks what does not depend on the dialect.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.messages.is_empty() {
            return Err(Error::config(
                "the request has no messages: add at least one",
            ));
        }
        for (i, message) in self.messages.iter().enumerate() {
            let empty = message
                .content
                .iter()
                .all(|p| p.as_text().is_some_and(|t| t.trim().is_empty()));
            if empty {
                return Err(Error::config(format!(
                    "messages[{i}] is empty: give it some content"
                )));
            }
        }
        if self.max_tokens == Some(0) {
            return Err(Error::config("max_tokens is 0: it must be at least 1"));
        }
        in_range("temperature", self.temperature, 2)?;
        in_range("top_p", self.top_p, 1)
    }
}

fn in_range(name: &str, value: Option<f64>, max: u8) -> Result<()> {
    match value {
        Some(v) if !(0.0..=f64::from(max)).contains(&v) => Err(Error::config(format!(
            "{name} is {}: it must be from 0 to {max}",
            runtime::print_float(v)
        ))),
        _ => Ok(()),
    }
}
