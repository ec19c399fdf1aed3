//! Schemas for the strict modes of structured outputs, which accept a part of JSON Schema:
//! <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>,
//! <https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations>.

use std::borrow::Cow;

use serde::Serialize;

use crate::RawJson;
use crate::chat::fields;

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
        let r#type: String = read(get(&given, "type")?)?;
        let is_union = ["anyOf", "oneOf"]
            .iter()
            .any(|name| get(&given, name).is_some());
        if r#type != "object" || is_union {
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
        let is_object = types.iter().any(|name| name == "object");
        let objects = objects + usize::from(is_object);
        if objects > self.max_nesting {
            return None;
        }
        // An object that lists no properties, or has more than those, has any.
        if is_object && !is_closable(&given) {
            return None;
        }
        if types.iter().any(|name| name == "array") && get(&given, "items").is_none() {
            return None;
        }
        if get(&given, "anyOf").is_some() && get(&given, "oneOf").is_some() {
            return None;
        }
        let names = |name| get(&given, name).and_then(read::<Vec<String>>);
        let required = names("required").unwrap_or_default();
        let mut fitted: Fields = Vec::with_capacity(given.len() + 2);
        if get(&given, "type").is_none() && !types.is_empty() {
            fitted.push(("type".to_owned(), types_json(&types)));
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
                    let parts: Vec<RawJson> = read(value)?;
                    let parts = parts
                        .iter()
                        .map(|part| self.nested(part, depth + 1, objects));
                    keep("anyOf", json(&parts.collect::<Option<Vec<_>>>()?));
                }
                // Their nesting is counted where they are defined.
                "$defs" | "definitions" => keep(name, self.each(value, depth, 0, None)?),
                "properties" => {
                    let required = self.all_required.then_some(required.as_slice());
                    keep(name, self.each(value, depth, objects, required)?);
                }
                "format" if read::<String>(value).is_some_and(|f| FORMATS.contains(&&*f)) => {
                    keep(name, value.clone());
                }
                _ if self.constraints.contains(&name.as_str()) => keep(name, value.clone()),
                _ if STRUCTURAL.contains(&name.as_str()) => return None,
                _ => notes.push([name, ": ", value.as_str()].concat()),
            }
        }
        if is_object {
            let properties = fields(get(&given, "properties")?.as_str()).ok()?;
            let all: Vec<_> = properties.iter().map(|(name, _)| name).collect();
            // A property that is required but not described can have any value.
            required
                .iter()
                .all(|name| all.contains(&name))
                .then_some(())?;
            let required = match self.all_required {
                true => json(&all),
                false => json(&required),
            };
            fitted.push(("required".to_owned(), required));
            fitted.push(("additionalProperties".to_owned(), json(&false)));
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
        required: Option<&[String]>,
    ) -> Option<RawJson> {
        let each = fields(map.as_str())
            .ok()?
            .into_iter()
            .map(|(name, schema)| {
                let fitted = self.nested(&schema, depth + 1, objects)?;
                let is_optional = required.is_some_and(|required| !required.contains(&name));
                Some((
                    name,
                    if is_optional {
                        nullable(fitted)?
                    } else {
                        fitted
                    },
                ))
            });
        Some(RawJson::object(&each.collect::<Option<Vec<_>>>()?))
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
    read::<String>(target)?.starts_with('#').then_some(())?;
    let are_annotations = given
        .iter()
        .all(|(name, _)| ANNOTATIONS.contains(&name.as_str()));
    are_annotations.then(|| RawJson::object(&[("$ref".to_owned(), target.clone())]))
}

fn is_closable(given: &Fields) -> bool {
    let is_false = |name| get(given, name).is_none_or(|value| value.as_str() == "false");
    get(given, "properties").is_some()
        && is_false("additionalProperties")
        && is_false("unevaluatedProperties")
}

/// Returns the types of a schema; none for a union. Where it only lists values, these are their types.
fn types(given: &Fields) -> Option<Vec<String>> {
    if let Some(value) = get(given, "type") {
        return read::<String>(value)
            .map(|one| vec![one])
            .or_else(|| read(value));
    }
    if get(given, "anyOf").is_some() || get(given, "oneOf").is_some() {
        return Some(Vec::new());
    }
    let values = match (get(given, "enum"), get(given, "const")) {
        (Some(values), _) => read::<Vec<RawJson>>(values)?,
        (None, Some(value)) => vec![value.clone()],
        (None, None) => return None,
    };
    let mut types: Vec<String> = Vec::new();
    for value in &values {
        let name = match value.as_str().as_bytes().first()? {
            b'"' => "string",
            b't' | b'f' => "boolean",
            b'n' => "null",
            b'{' | b'[' => return None,
            _ => "number",
        };
        if !types.iter().any(|known| known == name) {
            types.push(name.to_owned());
        }
    }
    Some(types)
}

fn types_json(types: &[String]) -> RawJson {
    match types {
        [one] => json(one),
        several => json(&several),
    }
}

/// Returns a schema that also accepts null.
fn nullable(schema: RawJson) -> Option<RawJson> {
    let mut given = fields(schema.as_str()).ok()?;
    let lists_values = get(&given, "enum").is_some() || get(&given, "const").is_some();
    if let Some((_, value)) = given
        .iter_mut()
        .find(|(name, _)| name == "type" && !lists_values)
    {
        let mut types = read::<String>(value).map_or_else(|| read(value), |one| Some(vec![one]))?;
        if !types.iter().any(|name| name == "null") {
            types.push("null".to_owned());
        }
        *value = types_json(&types);
        return Some(RawJson::object(&given));
    }
    let null = RawJson::object(&[("type".to_owned(), json("null"))]);
    if let [(name, parts)] = given.as_mut_slice()
        && name == "anyOf"
    {
        let mut parts: Vec<RawJson> = read(parts)?;
        if !parts.contains(&null) {
            parts.push(null);
        }
        return Some(RawJson::object(&[("anyOf".to_owned(), json(&parts))]));
    }
    Some(RawJson::object(&[(
        "anyOf".to_owned(),
        json(&[schema, null]),
    )]))
}

/// Adds constraints to the description, where the model reads them.
fn describe(fields: &mut Fields, notes: &str) {
    let known = fields.iter_mut().find(|(name, _)| name == "description");
    match known {
        Some((_, description)) => {
            let before: String = read(description).unwrap_or_default();
            *description = json(&[&before, "\n\n{", notes, "}"].concat());
        }
        None => fields.push(("description".to_owned(), json(&["{", notes, "}"].concat()))),
    }
}

fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a RawJson> {
    fields
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn read<T: serde::de::DeserializeOwned>(value: &RawJson) -> Option<T> {
    serde_json::from_str(value.as_str()).ok()
}

fn json(value: &(impl Serialize + ?Sized)) -> RawJson {
    RawJson::written(value)
}

#[cfg(all(test, feature = "anthropic", feature = "openai-chat"))]
mod tests;
