//! The items of a response's output, and the parts of their content.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::wire::{Pairs, Text, Word, list, object};

/// An item of the output. Each kind has some of the fields.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) phase: Word<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) encrypted_content: Word<'a>,
    #[serde(borrow)]
    pub(super) call_id: Word<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) container_id: Word<'a>,
}

/// A part of a message's content, of a summary or of open reasoning.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ContentPart<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
}

/// Whether a block of this type is a part of a message's content, rather than an item of its own.
pub(super) fn is_content(kind: &str) -> bool {
    ["input_", "output_"]
        .iter()
        .any(|start| kind.starts_with(start))
        || kind == "refusal"
}

impl<'a> Item<'a> {
    /// Returns the parts of the content, each with its JSON.
    pub(super) fn parts(&self) -> Vec<(ContentPart<'a>, &'a RawValue)> {
        let parts = self.content.and_then(|content| list(content.get()));
        let parts = parts.into_iter().flatten();
        parts
            .filter_map(|raw| Some((object(Some(raw))?, raw)))
            .collect()
    }

    /// Returns the open reasoning.
    pub(super) fn reasoning(&self) -> String {
        join(self.content)
    }

    /// Returns the summary of the reasoning.
    pub(super) fn summary(&self) -> String {
        join(self.summary)
    }

    /// Returns the arguments of a call. Some servers send an object instead of its text.
    pub(super) fn arguments(&self) -> Cow<'a, str> {
        text(self.arguments).into_cow()
    }

    /// Whether a search of the web is charged. Opening a page that was found is not.
    pub(super) fn is_search(&self) -> bool {
        let action = Pairs::read(self.action).and_then(|action| action.text("type"));
        self.kind.as_str() == "web_search_call" && action.is_none_or(|action| action == "search")
    }
}

/// Returns the text of a string, or the JSON of an object.
pub(super) fn text(raw: Option<&RawValue>) -> Text<'_> {
    match raw.map_or("", RawValue::get) {
        json if json.starts_with('{') => Cow::Borrowed(json).into(),
        json => serde_json::from_str(json).unwrap_or_default(),
    }
}

/// Joins the texts of parts. Each is a paragraph.
fn join(parts: Option<&RawValue>) -> String {
    let parts = parts.and_then(|parts| list(parts.get()));
    let parts = parts.into_iter().flatten();
    let texts = parts.filter_map(|raw| object::<ContentPart<'_>>(Some(raw)));
    let texts: Vec<_> = texts.map(|part| part.text.into_cow()).collect();
    texts.join(PARAGRAPH)
}

/// What stands between two parts of reasoning.
pub(super) const PARAGRAPH: &str = "\n\n";
