//! What the JSON form of a request needs beside what serde derives: `null` for absence, whole numbers however they are
//! written, fields in their order.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::Serializer;

use super::raw_json::RawJson;
use crate::Result;
use crate::quote::quote;

/// A field of which null is absence.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A whole number, such as 60000 for `6e4` and `60000.0`; none for null.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    struct Whole(u32);
    struct WholeVisitor;
    impl Visitor<'_> for WholeVisitor {
        type Value = Whole;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number up to 4294967295")
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Whole, E> {
            let fits = u32::try_from(number);
            let unfit = serde::de::Unexpected::Unsigned(number);
            fits.map(Whole).map_err(|_| E::invalid_value(unfit, &self))
        }
        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Whole, E> {
            let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            let unfit = serde::de::Unexpected::Float(number);
            let fits = fits.then_some(Whole(number as u32));
            fits.ok_or_else(|| E::invalid_value(unfit, &self))
        }
    }
    impl<'de> Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(WholeVisitor)
        }
    }
    Ok(Option::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// Deserializes an object as another type and converts it. An error of the conversion has the place of the object.
pub(super) fn converted<'de, A, T, D>(deserializer: D) -> Result<T, D::Error>
where
    A: Deserialize<'de>,
    T: TryFrom<A, Error = String>,
    D: Deserializer<'de>,
{
    struct ObjectVisitor<A, T>(PhantomData<(A, T)>);
    impl<'de, A: Deserialize<'de>, T: TryFrom<A, Error = String>> Visitor<'de> for ObjectVisitor<A, T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
            let any = A::deserialize(MapAccessDeserializer::new(map))?;
            T::try_from(any).map_err(M::Error::custom)
        }
    }
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// A struct that is deserialized only from an object. Derived code accepts a list of its fields too, and the code for that is
/// left out of the WebAssembly module where it is not used.
#[doc(hidden)] // For the crates of this project.
#[derive(Debug)]
pub struct ByName<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByNameVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ByNameVisitor<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        let by_name = deserializer.deserialize_map(ByNameVisitor(PhantomData));
        by_name.map(ByName)
    }
}

/// A list of structs.
pub(super) fn objects<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects: Vec<ByName<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|ByName(object)| object).collect())
}

/// A list of structs, or null for none.
pub(super) fn objects_or_none<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects: Option<Vec<ByName<T>>> = Option::deserialize(deserializer)?;
    let objects = objects.unwrap_or_default().into_iter();
    Ok(objects.map(|ByName(object)| object).collect())
}

/// A struct, or null for none.
pub(super) fn object_or_none<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let object: Option<ByName<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|ByName(object)| object))
}

/// The fields of an object, in their order.
pub(super) struct Fields<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Fields<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for FieldsVisitor<V> {
            type Value = Fields<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<V>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

/// Fields of which none is given twice.
pub(super) struct UniqueFields(pub(super) Vec<(String, RawJson)>);

impl TryFrom<Fields<RawJson>> for UniqueFields {
    type Error = String;

    fn try_from(Fields(fields): Fields<RawJson>) -> Result<Self, String> {
        // A map of the type that the dialects use too, because std's sorting would be another 3 KB of the WebAssembly module.
        let mut places = BTreeMap::new();
        for (place, (name, _)) in fields.iter().enumerate() {
            if places.insert(name.clone(), place).is_some() {
                return Err([&quote(name), " is given twice"].concat());
            }
        }
        Ok(Self(fields))
    }
}

impl<'de> Deserialize<'de> for UniqueFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        converted::<Fields<RawJson>, _, _>(deserializer)
    }
}

/// Reads the fields of a JSON object in their order.
pub(crate) fn fields(json: &str) -> serde_json::Result<Vec<(String, RawJson)>> {
    serde_json::from_str(json).map(|UniqueFields(fields)| fields)
}

/// `extra_body`. A null in it is sent: it may be one that the provider knows.
pub(super) fn fields_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, RawJson)>, D::Error> {
    let fields: Option<UniqueFields> = Option::deserialize(deserializer)?;
    Ok(fields
        .map(|UniqueFields(fields)| fields)
        .unwrap_or_default())
}

pub(super) fn as_object<S: Serializer>(
    fields: &[(String, RawJson)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// Takes the fields of a type and refuses those that it does not have.
macro_rules! take {
    ($any:expr, $kind:expr, [$($all:ident)*], $what:literal) => {{
        let given = [$((stringify!($all), $any.$all.is_some())),*];
        move |known: &[&str]| match given.iter().find(|(name, is)| *is && !known.contains(name)) {
            Some((name, _)) => Err(format!(
                concat!("unknown field `{}` of a ", $what, " of type {}"), name, $crate::quote::quote($kind)
            )),
            None => Ok(()),
        }
    }};
}
pub(super) use take;

pub(super) fn missing(name: &str) -> String {
    format!("missing field `{name}`")
}

#[cold]
pub(super) fn unknown(kind: &str, known: &str) -> String {
    format!("type is {}: it must be one of {known}", quote(kind))
}
