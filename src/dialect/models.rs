//! Lists of models, as providers and compatible servers write them.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use serde_json::value::RawValue;

use super::error::instead_of_reply;
use super::wire::{Pairs, Word, list, text_of, unreadable};
use crate::{DialectName, ModelInfo, RawJson, Result};

/// One page of a list.
pub(crate) struct ModelPage {
    pub(crate) models: Vec<ModelInfo>,
    /// The ID after which the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

impl ModelPage {
    /// Returns the query of the page that begins after an ID, or of the first one.
    pub(crate) fn query(dialect: DialectName, after: Option<&str>) -> Option<String> {
        // https://docs.claude.com/en/api/models-list: at most 1,000. OpenAI's has one page; the servers that page do so as its other lists.
        match (dialect, after) {
            (DialectName::Anthropic, None) => Some("limit=1000".to_owned()),
            (DialectName::Anthropic, Some(id)) => {
                Some(["limit=1000&after_id=", &escaped(id)].concat())
            }
            (_, None) => None,
            (_, Some(id)) => Some(["after=", &escaped(id)].concat()),
        }
    }

    /// Reads a page: `{"data": […]}`, as Anthropic and OpenAI have it, `{"models": […]}`, or a bare list. Its entries are objects with an `id` or a
    /// `name`, or strings. Those without either are left out.
    ///
    /// # Errors
    /// `Decode` if it is no list of models. If it is an error, that error is returned.
    pub(crate) fn read(body: &[u8], request_id: Option<&str>) -> Result<Self> {
        const WHAT: &str = "the list of models";
        let text = text_of(body);
        let text = text.trim();
        if text.starts_with('[') {
            let entries = list(text).ok_or_else(|| unreadable(WHAT, text))?;
            return Ok(Self {
                models: entries.into_iter().filter_map(model).collect(),
                next: None,
            });
        }
        let page: Option<Pairs<'_>> = serde_json::from_str(text).ok();
        let entries = page.as_ref().and_then(|page| {
            let entries = ["data", "models"].into_iter();
            entries
                .filter_map(|name| page.raw(name))
                .find_map(|raw| list(raw.get()))
        });
        let (Some(page), Some(entries)) = (page, entries) else {
            let error = instead_of_reply(text, request_id);
            return Err(error.unwrap_or_else(|| unreadable(WHAT, text)));
        };
        let models: Vec<ModelInfo> = entries.into_iter().filter_map(model).collect();
        let has_more = page.raw("has_more").is_some_and(|raw| raw.get() == "true");
        let last = || page.text("last_id").or(Some(models.last()?.id.clone()));
        let next = if has_more { last() } else { None };
        Ok(Self { models, next })
    }
}

fn model(raw: &RawValue) -> Option<ModelInfo> {
    let Some(fields) = Pairs::read(Some(raw)) else {
        let id: Cow<'_, str> = serde_json::from_str::<Word<'_>>(raw.get()).ok()?.some()?;
        return Some(ModelInfo::new(id));
    };
    let name = fields.text("name");
    let id = fields.text("id").or_else(|| name.clone())?;
    // Anthropic has a date, OpenAI a number.
    let date = || {
        let date = fields.text("created_at")?;
        let date = humantime::parse_rfc3339(&date).ok()?;
        Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    Some(ModelInfo {
        display_name: fields
            .text("display_name")
            .or(name)
            .filter(|name| *name != id),
        created: fields.count("created").0.filter(|n| *n > 0).or_else(date),
        owned_by: fields
            .text("owned_by")
            .or_else(|| fields.text("organization")),
        raw: RawJson::of(raw),
        id,
    })
}

/// Escapes what has a meaning in a query (RFC 3986, section 2.2).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => escaped.push(byte.into()),
            false => {
                let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
                escaped.push('%');
                escaped
                    .extend([digit(byte >> 4), digit(byte & 15)].map(|d| d.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_in_queries() {
        let query = ModelPage::query(DialectName::OpenAiChat, Some("a/b c&é"));
        assert_eq!(query.unwrap(), "after=a%2Fb%20c%26%C3%A9");
    }
}
