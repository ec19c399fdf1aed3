//! Schemas for the strict modes of structured outputs, which accept a part of JSON Schema:
//! <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>,
//! <https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations>.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::RawJson;
use crate::chat::fields;

/// The type of an object, as JSON.
const OBJECT: &str = "\"object\"";

/// The deepest nesting that is rewritten.
const MAX_DEPTH: usize = 64;

/// What a strict mode requires.
pub(super) struct StrictMode {
    /// Whether every property must be required. Optional ones then become nullable.
    pub(super) all_required: bool,
    /// The most objects within each other.
    pub(super) max_nesting: usize,
    /// The constraints that it enforces. Others become a part of the description.
    pub(super) constraints: &'static [&'static str],
}

/// The strict mode of OpenAI, which compatible servers have adopted.
#[cfg(any(feature = "openai-chat", feature = "openai-responses"))]
pub(super) const OPENAI: StrictMode = StrictMode {
    all_required: true,
    max_nesting: 10,
    constraints: &[
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
    ],
};

/// The values of `format` that both APIs know.
const FORMATS: [&str; 9] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

/// Keywords without which a schema would mean something else.
const STRUCTURAL: [&str; 18] = [
    "$anchor",
    "$dynamicRef",
    "additionalItems",
    "allOf",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxProperties",
    "minProperties",
    "not",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
];

type Fields = Vec<(String, RawJson)>;

impl StrictMode {
    /// Returns the schema to send, and whether it can be strict.
    pub(super) fn apply<'a>(&self, schema: &'a RawJson) -> (Cow<'a, RawJson>, bool) {
        match self.fit(schema) {
            Some(fitted) => (Cow::Owned(fitted), true),
            None => (Cow::Borrowed(schema), false),
        }
    }

    /// Returns a schema that this mode accepts and that means the same: objects are closed, constraints that are not enforced are
    /// in the description. Returns `None` if there is none, such as for an object with any properties.
    fn fit(&self, schema: &RawJson) -> Option<RawJson> {
        let given = fields(schema.as_str()).ok()?;
        // The root must be an object, and no union.
        let is_object = get(&given, "type")?.as_str() == OBJECT;
        let is_union = ["anyOf", "oneOf"]
            .iter()
            .any(|name| get(&given, name).is_some());
        if !is_object || is_union {
            return None;
        }
        self.schema(given, 0, 0)
    }

    fn nested(&self, schema: &RawJson, depth: usize, objects: usize) -> Option<RawJson> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.schema(fields(schema.as_str()).ok()?, depth, objects)
    }

    fn schema(&self, given: Fields, depth: usize, objects: usize) -> Option<RawJson> {
        if let Some(target) = get(&given, "$ref") {
            return reference(target, &given);
        }
        let types = types(&given)?;
        let is_of = |name| types.iter().any(|r#type| r#type.as_str() == name);
        let is_object = is_of(OBJECT);
        let objects = objects + usize::from(is_object);
        if objects > self.max_nesting {
            return None;
        }
        // An object that lists no properties, or has more than those, has any.
        if is_object && !is_closable(&given) {
            return None;
        }
        if is_of("\"array\"") && get(&given, "items").is_none() {
            return None;
        }
        if get(&given, "anyOf").is_some() && get(&given, "oneOf").is_some() {
            return None;
        }
        let required = get(&given, "required").and_then(items).unwrap_or_default();
        let mut fitted: Fields = Vec::with_capacity(given.len() + 2);
        if get(&given, "type").is_none() && !types.is_empty() {
            fitted.push(("type".to_owned(), one_or_list(types)));
        }
        let mut notes = Vec::new();
        for (name, value) in &given {
            let mut keep = |name: &str, value| fitted.push((name.to_owned(), value));
            match name.as_str() {
                "$schema" | "$id" | "$comment" | "required" | "additionalProperties" => {}
                // Restated by closing the object.
                "unevaluatedProperties" if value.as_str() == "false" => {}
                "type" | "title" | "description" | "enum" | "const" => keep(name, value.clone()),
                "items" => keep(name, self.nested(value, depth + 1, objects)?),
                "anyOf" | "oneOf" => {
                    let mut parts = items(value)?;
                    for part in &mut parts {
                        *part = self.nested(part, depth + 1, objects)?;
                    }
                    keep("anyOf", list(&parts));
                }
                // Their nesting is counted where they are defined.
                "$defs" | "definitions" => keep(name, self.each(value, depth, 0, None)?),
                "properties" => {
                    let required = self.all_required.then_some(required.as_slice());
                    keep(name, self.each(value, depth, objects, required)?);
                }
                "format" if FORMATS.contains(&value.as_str().trim_matches('"')) => {
                    keep(name, value.clone());
                }
                _ if self.constraints.contains(&name.as_str()) => keep(name, value.clone()),
                _ if STRUCTURAL.contains(&name.as_str()) => return None,
                _ => notes.push([name, ": ", value.as_str()].concat()),
            }
        }
        if is_object {
            let properties = fields(get(&given, "properties")?.as_str()).ok()?;
            let all: Vec<_> = properties.iter().map(|(name, _)| string(name)).collect();
            // A property that is required but not described can have any value.
            if !required.iter().all(|name| all.contains(name)) {
                return None;
            }
            let required = if self.all_required { all } else { required };
            fitted.push(("required".to_owned(), list(&required)));
            fitted.push((
                "additionalProperties".to_owned(),
                RawJson::of(RawValue::FALSE),
            ));
        }
        if !notes.is_empty() {
            describe(&mut fitted, &notes.join(", "));
        }
        Some(RawJson::object(&fitted))
    }

    /// Rewrites a map of schemas. Those that are not in `required` become nullable.
    fn each(
        &self,
        map: &RawJson,
        depth: usize,
        objects: usize,
        required: Option<&[RawJson]>,
    ) -> Option<RawJson> {
        let mut each = fields(map.as_str()).ok()?;
        for (name, schema) in &mut each {
            *schema = self.nested(schema, depth + 1, objects)?;
            if required.is_some_and(|required| !required.contains(&string(name))) {
                *schema = nullable(schema)?;
            }
        }
        Some(RawJson::object(&each))
    }
}

/// A reference, which has no other keywords beside it. Annotations are left out.
fn reference(target: &RawJson, given: &Fields) -> Option<RawJson> {
    const ANNOTATIONS: [&str; 6] = [
        "$ref",
        "default",
        "deprecated",
        "description",
        "examples",
        "title",
    ];
    let are_annotations = given
        .iter()
        .all(|(name, _)| ANNOTATIONS.contains(&name.as_str()));
    (are_annotations && target.as_str().starts_with("\"#"))
        .then(|| RawJson::object(&[("$ref".to_owned(), target.clone())]))
}

fn is_closable(given: &Fields) -> bool {
    let is_false = |name| get(given, name).is_none_or(|value| value.as_str() == "false");
    get(given, "properties").is_some()
        && is_false("additionalProperties")
        && is_false("unevaluatedProperties")
}

/// Returns the types of a schema; none for a union. Where it only lists values, these are their types.
fn types(given: &Fields) -> Option<Vec<RawJson>> {
    if let Some(value) = get(given, "type") {
        return one_or_items(value);
    }
    if get(given, "anyOf").is_some() || get(given, "oneOf").is_some() {
        return Some(Vec::new());
    }
    let values = match (get(given, "enum"), get(given, "const")) {
        (Some(values), _) => items(values)?,
        (None, Some(value)) => vec![value.clone()],
        (None, None) => return None,
    };
    let mut types: Vec<RawJson> = Vec::new();
    for value in &values {
        let name = string(match value.as_str().as_bytes().first()? {
            b'"' => "string",
            b't' | b'f' => "boolean",
            b'n' => "null",
            b'{' | b'[' => return None,
            _ => "number",
        });
        if !types.contains(&name) {
            types.push(name);
        }
    }
    Some(types)
}

/// Returns a schema that also accepts null.
fn nullable(schema: &RawJson) -> Option<RawJson> {
    let mut given = fields(schema.as_str()).ok()?;
    let lists_values = get(&given, "enum").is_some() || get(&given, "const").is_some();
    let place = |name| move |(known, _): &&mut (String, RawJson)| known == name;
    if let Some((_, value)) = given
        .iter_mut()
        .find(place("type"))
        .filter(|_| !lists_values)
    {
        let mut types = one_or_items(value)?;
        add(&mut types, string("null"));
        *value = one_or_list(types);
        return Some(RawJson::object(&given));
    }
    let null = RawJson::object(&[("type".to_owned(), string("null"))]);
    let mut parts = match given.as_slice() {
        [(name, parts)] if name == "anyOf" => items(parts)?,
        _ => vec![schema.clone()],
    };
    add(&mut parts, null);
    Some(RawJson::object(&[("anyOf".to_owned(), list(&parts))]))
}

fn add(list: &mut Vec<RawJson>, item: RawJson) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// Adds constraints to the description, where the model reads them.
fn describe(fields: &mut Fields, notes: &str) {
    let notes = ["{", notes, "}"].concat();
    let known = fields.iter_mut().find(|(name, _)| name == "description");
    match known {
        Some((_, description)) => {
            let before = description.as_str().strip_suffix('"').unwrap_or_default();
            let notes = string(&["\n\n", &notes].concat());
            if let Ok(both) = [before, &notes.as_str()[1..]].concat().parse() {
                *description = both;
            }
        }
        None => fields.push(("description".to_owned(), string(&notes))),
    }
}

fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a RawJson> {
    fields
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn items(value: &RawJson) -> Option<Vec<RawJson>> {
    serde_json::from_str(value.as_str()).ok()
}

fn list(items: &[RawJson]) -> RawJson {
    RawJson::written(items)
}

/// Reads a value that may stand alone in place of a list.
fn one_or_items(value: &RawJson) -> Option<Vec<RawJson>> {
    match value.as_str().starts_with('[') {
        true => items(value),
        false => Some(vec![value.clone()]),
    }
}

fn one_or_list(items: Vec<RawJson>) -> RawJson {
    match <[RawJson; 1]>::try_from(items) {
        Ok([one]) => one,
        Err(several) => list(&several),
    }
}

fn string(text: &str) -> RawJson {
    RawJson::written(text)
}

#[cfg(all(test, feature = "anthropic", feature = "openai-chat"))]
mod tests;
