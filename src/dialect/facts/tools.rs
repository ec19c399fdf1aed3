//! Tools, of which the provider runs some itself, and other models that may answer.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::content::{Place, field};
use super::fields::FALLBACK;
use super::values::{count, is_null, model};
use super::{MAX_MODELS, Object, Reading, RequestFacts, checked, fmt, folded, refuse};
use crate::dialect::wire::Word;
use crate::quote::quote;

/// The assumed maximum of searches in a call that does not set one. Anthropic's loop has ten rounds
/// (<https://docs.claude.com/en/docs/build-with-claude/handling-stop-reasons>), and each can have several searches.
const MOST_SEARCHES: u64 = 30;
/// The assumed maximum of questions to Anthropic's advisor.
const MOST_ADVICE: u64 = 10;

impl RequestFacts {
    /// Records that the provider may search the web, at most this many times.
    pub(super) fn search(&mut self, most: Option<u64>) {
        let most = most.unwrap_or(MOST_SEARCHES);
        self.searches = self.searches.saturating_add(most);
        self.more_input = true;
    }

    /// Records another model that may answer.
    pub(super) fn add_model(&mut self, model: &str) {
        match self.models.len() {
            ..MAX_MODELS if !model.is_empty() => self.models.push(model.to_owned()),
            _ => self.any_model = true,
        }
    }

    /// Records a tool of a type. `uses` is its `max_uses`.
    fn add_tool(&mut self, kind: &str, uses: Option<u64>) {
        let is = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
        self.prompted = true;
        if matches!(kind, "" | "function" | "custom") {
            return;
        }
        // The caller runs these.
        if is(&["bash_2", "text_editor_", "memory_", "computer_", "browser_"]) {
            self.known_tools += 1;
            return;
        }
        self.more_input = true;
        if is(&["code_execution_"]) {
            self.containers += 1;
        } else if is(&["advisor_"]) {
            let uses = uses.unwrap_or(MOST_ADVICE);
            self.more_runs = self.more_runs.saturating_add(uses);
        } else if !is(&["web_fetch_", "tool_search_tool_", "mcp_toolset"]) {
            // Web searches, and what is not known.
            self.search(uses);
        }
    }
}

/// Reads a list of tools.
pub(super) struct Tools<'r, 'b>(pub(super) &'r mut Reading<'b>);

impl<'de> DeserializeSeed<'de> for Tools<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tools<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tools or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.facts.add_tool(name, None);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Tools(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        let (mut kind, mut uses) = (Cow::Borrowed(""), None);
        let mut seen = [false; 3];
        while let Some(Word(key)) = map.next_key::<Word<'de>>()? {
            let names = ["type", "max_uses", "model"];
            let folded = folded(&key);
            let Some(at) = names.iter().position(|name| *name == folded) else {
                field(&key, &mut map, reading, Place::Other)?;
                continue;
            };
            if std::mem::replace(&mut seen[at], true) {
                let name = quote(names[at]);
                return refuse(
                    reading,
                    ["a tool has ", &name, " twice: give it once"].concat(),
                );
            }
            let value: &'de RawValue = map.next_value()?;
            match names[at] {
                _ if is_null(value) => {}
                // What is no string is a type that is not known.
                "type" => kind = serde_json::from_str(value.get()).unwrap_or("?".into()),
                "max_uses" => uses = checked(reading, count(value, "max_uses"))?,
                _ => {
                    let model = checked(reading, model(value))?;
                    reading
                        .facts
                        .add_model(model.as_deref().unwrap_or_default());
                }
            }
        }
        reading.facts.add_tool(&kind, uses);
        Ok(())
    }
}

/// Reads other models that may answer: names, or objects with a name.
pub(super) struct Alternatives<'r, 'b> {
    pub(super) reading: &'r mut Reading<'b>,
    /// Whether each can be billed in addition to the requested model.
    pub(super) is_run: bool,
}

impl<'de> DeserializeSeed<'de> for Alternatives<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Alternatives<'_, '_> {
    fn count(&mut self) {
        let runs = &mut self.reading.facts.more_runs;
        *runs = runs.saturating_add(self.is_run.into());
    }
}

impl<'de> Visitor<'de> for Alternatives<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of models or null")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(mut self, name: &str) -> Result<(), E> {
        self.count();
        // Anthropic's `default` lets the provider choose.
        let name = if self.is_run && name == "default" {
            ""
        } else {
            name
        };
        self.reading.facts.add_model(name);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { reading, is_run } = self;
        while seq
            .next_element_seed(Alternatives { reading, is_run })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.count();
        let reading = self.reading;
        let models = reading.facts.models.len();
        let object = Object {
            reading: &mut *reading,
            name: "a fallback",
            fields: [FALLBACK, &[]],
            is_top: false,
        };
        object.visit_map(map)?;
        // LiteLLM's form has the names as keys.
        reading.facts.any_model |= reading.facts.models.len() == models;
        Ok(())
    }
}
