//! Deserializes structs in their place. The code that serde derives returns a struct, which is moved from one function to the
//! next; of a chunk's structs, these moves took longer than the parsing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::wire::{Word, unreadable};
use crate::Result;

/// A struct that is deserialized field by field.
pub(super) trait Fields<'de> {
    /// Deserializes the value of the field `name`. Unknown fields are skipped; of a field that occurs twice, the last value counts.
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Deserializes into the value that it refers to.
pub(super) struct InPlace<'p, T>(pub(super) &'p mut T);

impl<'de, T: Fields<'de>> Visitor<'de> for InPlace<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Word<'de>>()? {
            self.0.read_field(name.as_str(), &mut map)?;
        }
        Ok(())
    }
}

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for InPlace<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Fields<'de> + Default> Visitor<'de> for InPlace<'_, Option<T>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        InPlace(self.0.insert(T::default())).deserialize(deserializer)
    }
}

impl<'de, T: Fields<'de> + Default> DeserializeSeed<'de> for InPlace<'_, Option<T>> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

/// Parses one JSON object into `place`. The error shows the start of a text that does not fit.
pub(super) fn read_into<'a, T: Fields<'a>>(what: &str, json: &'a str, place: &mut T) -> Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    InPlace(place)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| unreadable(what, json).with_source(error))
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Default)]
    struct Point<'a> {
        name: Word<'a>,
        inner: Option<Box<Point<'a>>>,
    }

    impl<'de> Fields<'de> for Point<'de> {
        fn read_field<A: MapAccess<'de>>(
            &mut self,
            name: &str,
            map: &mut A,
        ) -> Result<(), A::Error> {
            match name {
                "name" => self.name = map.next_value()?,
                "inner" => {
                    let mut inner = None;
                    map.next_value_seed(InPlace(&mut inner))?;
                    self.inner = inner.map(Box::new);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        }
    }

    #[test]
    fn objects_are_read_and_nothing_else() {
        for (json, names) in [
            ("{}", Some("")),
            (r#"{"name": "a", "more": [1], "name": "b"}"#, Some("b")),
            (r#"{"n\u0061me": "a"}"#, Some("a")),
            (r#"{"inner": {"name": "b"}, "name": "a"}"#, Some("ab")),
            (r#"{"inner": {"name": "b"}, "inner": {}}"#, Some("")),
            (r#"{"name": "a", "inner": null}"#, Some("a")),
            (r#"{"inner": []}"#, None),
            (r#"["a", null]"#, None),
            ("null", None),
            (r#"{"name": "a"} x"#, None),
        ] {
            let mut point = Point::default();
            let read = read_into("a point", json, &mut point);
            let inner = point.inner.unwrap_or_default();
            let read = read.map(|()| [point.name.as_str(), inner.name.as_str()].concat());
            assert_eq!(read.ok().as_deref(), names, "{json}");
        }
    }
}
