//! Reads requests as a lenient server might: of several fields with one name it uses the first or the last, it may ignore the
//! case of names, and it accepts strings and fractions as numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How a server reads objects and numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) first_wins: bool,
    pub(super) ignores_case: bool,
}

impl Manner {
    pub(super) const ALL: [Self; 4] = [
        Self {
            first_wins: false,
            ignores_case: false,
        },
        Self {
            first_wins: false,
            ignores_case: true,
        },
        Self {
            first_wins: true,
            ignores_case: false,
        },
        Self {
            first_wins: true,
            ignores_case: true,
        },
    ];
}

/// A JSON value.
#[derive(Debug)]
pub(super) enum Loose {
    Null,
    /// A number, or `true` or `false`, as it is written.
    Scalar(String),
    Text(String),
    List(Vec<Loose>),
    Object(Vec<(String, Loose)>),
}

/// The fields of an object in their order, with all that have one name.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl Loose {
    pub(super) fn parse(json: &str) -> Self {
        match json.trim().as_bytes() {
            b"null" => Self::Null,
            [b'"', ..] => Self::Text(serde_json::from_str(json).unwrap()),
            [b'[', ..] => {
                let list: Vec<&RawValue> = serde_json::from_str(json).unwrap();
                Self::List(list.into_iter().map(|raw| Self::parse(raw.get())).collect())
            }
            [b'{', ..] => {
                let Pairs(pairs) = serde_json::from_str(json).unwrap();
                let pairs = pairs.into_iter();
                Self::Object(
                    pairs
                        .map(|(name, raw)| (name, Self::parse(raw.get())))
                        .collect(),
                )
            }
            _ => Self::Scalar(json.trim().to_owned()),
        }
    }

    /// Returns the field that a server uses, unless it is null.
    pub(super) fn get(&self, name: &str, manner: Manner) -> Option<&Self> {
        let Self::Object(pairs) = self else {
            return None;
        };
        let fits = |(known, _): &&(String, Self)| match manner.ignores_case {
            true => known.to_lowercase() == name.to_lowercase(),
            false => known == name,
        };
        let found = match manner.first_wins {
            true => pairs.iter().find(fits),
            false => pairs.iter().rfind(fits),
        };
        let (_, value) = found?;
        (!matches!(value, Self::Null)).then_some(value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the items of a list, or the value itself.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => std::slice::from_ref(other),
        }
    }

    /// Returns a number, be it written as a string, a fraction or with an exponent. Negative ones and those that are too large
    /// for any server are none.
    pub(super) fn number(&self) -> Option<u64> {
        let (Self::Scalar(text) | Self::Text(text)) = self else {
            return None;
        };
        let number: f64 = text.trim().parse().ok()?;
        (0.0..1e15).contains(&number).then(|| number.ceil() as u64)
    }
}
