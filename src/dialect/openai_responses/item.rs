//! The items of a response's output, and the parts of their content.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::dialect::wire::{Pairs, Text, list};

/// An item of the output, or a part of a message, of a summary or of open reasoning. Each kind has other fields, and there are few
/// items in a response, so that the fields are found by their names.
#[derive(Default)]
pub(super) struct Item<'a>(Pairs<'a>);

impl<'a> Item<'a> {
    /// Reads an object. Any other value has no fields.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Self {
        Self(Pairs::read(raw).unwrap_or_default())
    }

    /// Returns the type, or an empty text.
    pub(super) fn kind(&self) -> String {
        self.word("type").unwrap_or_default()
    }

    /// Returns a name or an id that is not empty.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.0.text(name)
    }

    /// Returns the text of a string, or the JSON of an object: some servers send arguments as one.
    pub(super) fn text(&self, name: &str) -> Cow<'a, str> {
        text(self.0.raw(name)).into_cow()
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.raw(name)
    }

    /// Returns the items of a list, such as the parts of the content.
    pub(super) fn list(&self, name: &str) -> Vec<&'a RawValue> {
        let items = self.raw(name).and_then(|items| list(items.get()));
        items.unwrap_or_default()
    }

    /// Joins the texts of a list of parts, such as of a summary. Each is a paragraph.
    pub(super) fn paragraphs(&self, name: &str) -> String {
        let parts = self.list(name).into_iter().map(Some).map(Item::read);
        let texts: Vec<_> = parts.map(|part| part.text("text")).collect();
        texts.join(PARAGRAPH)
    }

    /// Whether a search of the web is charged. Opening a page that was found is not.
    pub(super) fn is_search(&self) -> bool {
        let action = Item::read(self.raw("action")).word("type");
        action.is_none_or(|action| action == "search")
    }
}

/// Whether a block of this type is a part of a message's content, rather than an item of its own.
pub(super) fn is_content(kind: &str) -> bool {
    ["input_", "output_"]
        .iter()
        .any(|start| kind.starts_with(start))
        || kind == "refusal"
}

/// Returns the text of a string, or the JSON of an object.
pub(super) fn text(raw: Option<&RawValue>) -> Text<'_> {
    match raw.map_or("", RawValue::get) {
        json if json.starts_with('{') => Cow::Borrowed(json).into(),
        json => serde_json::from_str(json).unwrap_or_default(),
    }
}

/// What stands between two parts of reasoning.
pub(super) const PARAGRAPH: &str = "\n\n";
