use super::request::Request;
use crate::{Error, Result, runtime};

impl Request {
    /// Returns a field of [`Request::extra_body`].
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
