use serde_json::{Value, json};

use super::*;

const ANTHROPIC: StrictMode = super::super::anthropic::request::STRICT;

fn text(value: Value) -> RawJson {
    value.into()
}

fn fitted(mode: &StrictMode, schema: Value) -> Option<Value> {
    let fitted = mode.fit(&text(schema))?;
    serde_json::from_str(fitted.as_str()).ok()
}

/// An object with one property.
fn with(property: Value) -> Value {
    json!({"type": "object", "properties": {"a": property}, "required": ["a"]})
}

fn closed(property: Value) -> Value {
    json!({"type": "object", "properties": {"a": property}, "required": ["a"], "additionalProperties": false})
}

#[test]
fn objects_are_closed_and_optional_properties_nullable() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "word": {"type": "string"},
            "either": {"type": ["string", "number"]},
            "known": {"type": ["string", "null"]},
            "one_of": {"enum": ["x", "y"]},
            "city": {"$ref": "#/$defs/City", "description": "Where."},
            "union": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/City"}]},
        },
        "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    });
    let city = json!({"$ref": "#/$defs/City"});
    let none = json!({"type": "null"});
    let mut all = vec!["word", "either", "known", "one_of", "city", "union"];
    // A `Value` has its fields in the order of their names.
    all.sort_unstable();
    let expected = json!({
        "type": "object",
        "properties": {
            "word": {"type": ["string", "null"]},
            "either": {"type": ["string", "number", "null"]},
            "known": {"type": ["string", "null"]},
            "one_of": {"anyOf": [{"type": "string", "enum": ["x", "y"]}, none]},
            "city": {"anyOf": [city, none]},
            "union": {"anyOf": [{"type": "string"}, city, none]},
        },
        "required": all,
        "additionalProperties": false,
        "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}},
    });
    assert_eq!(fitted(&OPENAI, schema.clone()), Some(expected));
    let anthropic = fitted(&ANTHROPIC, schema).unwrap();
    assert_eq!(anthropic["properties"]["word"], json!({"type": "string"}));
    assert_eq!(anthropic["required"], json!([]));
}

#[test]
fn properties_keep_their_order() {
    let schema = r#"{"type": "object", "properties": {"why": {"type": "string"}, "because": {"type": "string"}}}"#;
    let fitted = OPENAI.fit(&schema.parse().unwrap()).unwrap();
    assert_eq!(
        fitted.as_str(),
        r#"{"type":"object","properties":{"why":{"type":["string","null"]},"because":{"type":["string","null"]}},"required":["why","because"],"additionalProperties":false}"#
    );
}

#[test]
fn what_is_not_enforced_is_described() {
    for (given, expected) in [
        (
            json!({"type": "string", "minLength": 2, "format": "uri"}),
            json!({"type": "string", "description": "{format: \"uri\", minLength: 2}"}),
        ),
        (
            json!({"type": "string", "description": "A name.", "default": "x"}),
            json!({"type": "string", "description": "A name.\n\n{default: \"x\"}"}),
        ),
        (
            json!({"type": "string", "description": "A \"name\"", "maxLength": 9}),
            json!({"type": "string", "description": "A \"name\"\n\n{maxLength: 9}"}),
        ),
        (
            json!({"type": "number", "minimum": 1}),
            json!({"type": "number", "minimum": 1}),
        ),
        (
            json!({"type": "string", "format": "date"}),
            json!({"type": "string", "format": "date"}),
        ),
        (json!({"const": 5}), json!({"const": 5, "type": "number"})),
    ] {
        assert_eq!(fitted(&OPENAI, with(given)), Some(closed(expected)));
    }
    let number = with(json!({"type": "number", "minimum": 1}));
    let described = json!({"type": "number", "description": "{minimum: 1}"});
    assert_eq!(fitted(&ANTHROPIC, number), Some(closed(described)));
}

#[test]
fn a_schema_that_would_mean_something_else_is_not_strict() {
    let object = |more: Value| {
        let mut schema = with(json!({"type": "string"}));
        schema
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        schema
    };
    let mut deep = json!({"type": "string"});
    for _ in 0..11 {
        deep = with(deep);
    }
    let mut lists = json!({"type": "string"});
    for _ in 0..200 {
        lists = json!({"type": "array", "items": lists});
    }
    for schema in [
        json!({"type": "object"}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"anyOf": [{"type": "object", "properties": {}}]}),
        json!(true),
        object(json!({"additionalProperties": true})),
        object(json!({"additionalProperties": {"type": "string"}})),
        object(json!({"patternProperties": {"^x": {"type": "string"}}})),
        object(json!({"allOf": [{"required": ["b"]}]})),
        object(json!({"required": ["b"]})),
        object(json!({"anyOf": [{"type": "object", "properties": {}}]})),
        with(json!({"anyOf": [{"type": "string"}], "oneOf": [{"type": "string"}]})),
        with(json!({})),
        with(json!({"type": "object"})),
        with(json!({"type": "array"})),
        with(json!({"type": "array", "items": {"type": "object"}})),
        with(json!({"$ref": "https://example.com/schema"})),
        with(json!({"$ref": "#/$defs/A", "minLength": 3})),
        with(json!({"not": {"type": "string"}})),
        with(json!({"enum": [{"a": 1}]})),
        deep,
        with(lists),
    ] {
        assert_eq!(fitted(&OPENAI, schema.clone()), None, "{schema}");
    }
}
