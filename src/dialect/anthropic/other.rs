//! Assembles a block that this crate does not model from the deltas of a stream.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::chat::fields;
use crate::{RawJson, Result};

/// The fields of a block, in their order.
#[derive(Default)]
pub(super) struct OtherBlock {
    fields: Vec<(String, Field)>,
    places: BTreeMap<String, usize>,
    /// The JSON text of its input, received so far.
    input: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Field {
    Json(RawJson),
    /// A string to which deltas were added.
    Text(String),
}

impl Field {
    /// Returns the string to which a delta is added, or `None` for another value.
    fn as_text(&mut self) -> Option<&mut String> {
        if let Self::Json(json) = self {
            *self = Self::Text(serde_json::from_str(json.as_str()).ok()?);
        }
        match self {
            Self::Text(text) => Some(text),
            Self::Json(_) => None,
        }
    }
}

impl OtherBlock {
    pub(super) fn new(json: &RawJson) -> Self {
        let mut block = Self::default();
        for (name, value) in fields(json.as_str()).unwrap_or_default() {
            block.set(name, value);
        }
        block
    }

    fn set(&mut self, name: String, value: RawJson) {
        let known = self.places.get(&name).copied();
        match known.and_then(|place| self.fields.get_mut(place)) {
            Some((_, known)) => *known = Field::Json(value),
            None => {
                self.places.insert(name.clone(), self.fields.len());
                self.fields.push((name, Field::Json(value)));
            }
        }
    }

    /// Adds a piece of the input's JSON text.
    pub(super) fn push_input(&mut self, json: &str) {
        self.input.push_str(json);
    }

    /// Adds a delta of an unknown type. A string is appended to the field of the same name; any other value replaces it.
    pub(super) fn extend(&mut self, delta: &RawValue) {
        for (name, value) in fields(delta.get()).unwrap_or_default() {
            if name == "type" {
                continue;
            }
            let known = self.places.get(&name).copied();
            let known = known.and_then(|place| self.fields.get_mut(place));
            let more: Option<String> = serde_json::from_str(value.as_str()).ok();
            match (known.and_then(|(_, known)| known.as_text()), more) {
                (Some(text), Some(more)) => text.push_str(&more),
                _ => self.set(name, value),
            }
        }
    }

    /// Returns the complete block.
    pub(super) fn finish(mut self) -> Result<RawJson> {
        if !self.input.trim().is_empty() {
            let input = self.input.parse()?;
            self.set("input".to_owned(), input);
        }
        Ok(RawJson::written(&self))
    }
}

impl Serialize for OtherBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, value)| (name, value)))
    }
}
