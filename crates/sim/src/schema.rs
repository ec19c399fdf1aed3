//! JSON schemas: what the APIs refuse, and values that match.

use serde_json::{Map, Value, json};

/// The deepest nesting of a value.
const MAX_DEPTH: usize = 8;

/// The constraints that Anthropic refuses (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations>).
const UNSUPPORTED_BY_ANTHROPIC: [&str; 9] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
];

/// The keywords that OpenAI's strict mode refuses (<https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>).
const UNSUPPORTED_BY_OPENAI: [&str; 14] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "minLength",
    "maxLength",
    "uniqueItems",
    "default",
];

/// Checks a schema as OpenAI's strict mode does. An error is the end of the API's message.
pub(crate) fn check_openai(schema: &Value) -> Result<(), String> {
    if schema["type"] != "object" || schema.get("anyOf").is_some() {
        let given = schema["type"].as_str().unwrap_or("None");
        return Err(format!(
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{given}\"'."
        ));
    }
    check(schema, "", &mut |schema, at| {
        let fail = |what: &str| Err(format!("In context=({at}), {what}"));
        if let Some(name) = UNSUPPORTED_BY_OPENAI
            .iter()
            .find(|name| schema.get(**name).is_some())
        {
            return fail(&format!("'{name}' is not permitted."));
        }
        if schema.get("$ref").is_some() {
            let others = schema.as_object().is_some_and(|fields| fields.len() > 1);
            return match others {
                true => fail("$ref cannot have keywords beside it."),
                false => Ok(()),
            };
        }
        if schema.get("type").is_none() && schema.get("anyOf").is_none() {
            return fail("schema must have a 'type' key.");
        }
        if is_of(schema, "array") && schema.get("items").is_none() {
            return fail("array schema missing items.");
        }
        if !is_of(schema, "object") {
            return Ok(());
        }
        if schema["additionalProperties"] != false {
            return fail("'additionalProperties' is required to be supplied and to be false.");
        }
        let required = schema["required"].as_array();
        let properties = schema["properties"].as_object();
        let missing = properties.into_iter().flatten().find(|(name, _)| {
            required.is_none_or(|required| !required.iter().any(|known| known == *name))
        });
        match missing {
            Some((name, _)) => fail(&format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{name}'."
            )),
            None => Ok(()),
        }
    })
}

/// Checks a schema as Anthropic does for outputs and strict tools.
pub(crate) fn check_anthropic(schema: &Value) -> Result<(), String> {
    check(schema, "", &mut |schema, _| {
        if is_of(schema, "object") && schema["additionalProperties"] != false {
            return Err(
                "For 'object' type, 'additionalProperties' must be explicitly set to false".into(),
            );
        }
        match UNSUPPORTED_BY_ANTHROPIC
            .iter()
            .find(|name| schema.get(**name).is_some())
        {
            Some(name) => {
                let kind = schema["type"].as_str().unwrap_or("any");
                Err(format!(
                    "For '{kind}' type, property '{name}' is not supported"
                ))
            }
            None => Ok(()),
        }
    })
}

fn is_of(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        one => one == kind,
    }
}

/// Calls `each` with a schema and all schemas in it.
fn check(
    schema: &Value,
    at: &str,
    each: &mut dyn FnMut(&Value, &str) -> Result<(), String>,
) -> Result<(), String> {
    each(schema, at)?;
    let below = |name: &str| match at {
        "" => format!("'{name}'"),
        _ => format!("{at}, '{name}'"),
    };
    for map in ["properties", "$defs", "definitions"] {
        for (name, schema) in schema[map].as_object().into_iter().flatten() {
            check(schema, &below(name), each)?;
        }
    }
    if let Some(items) = schema.get("items") {
        check(items, &below("items"), each)?;
    }
    for (i, part) in schema["anyOf"].as_array().into_iter().flatten().enumerate() {
        check(part, &below(&i.to_string()), each)?;
    }
    Ok(())
}

/// Returns a value that matches a schema, with `text` for every string.
pub(crate) fn example(schema: &Value, text: &str) -> Value {
    value(schema, schema, text, 0)
}

fn value(schema: &Value, root: &Value, text: &str, depth: usize) -> Value {
    let inner = |schema| value(schema, root, text, depth + 1);
    let first = |name: &str| schema[name].as_array().and_then(|values| values.first());
    if depth > 4 * MAX_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"].as_str() {
        let pointer = target.strip_prefix('#').unwrap_or_default();
        return root.pointer(pointer).map_or(Value::Null, inner);
    }
    if let Some(one) = first("enum").or(schema.get("const")) {
        return one.clone();
    }
    let parts = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    if let Some(parts) = parts {
        // Deep in a schema that refers to itself, the part without content ends it.
        let null = parts.iter().find(|part| is_of(part, "null"));
        let part = null.filter(|_| depth >= MAX_DEPTH).or(parts.first());
        return part.map_or(Value::Null, inner);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(fields) = inner(part) {
                all.extend(fields);
            }
        }
        return Value::Object(all);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("object"),
        kind => kind.as_str().unwrap_or("object"),
    };
    match kind {
        "string" if text.is_empty() => json!("example"),
        "string" => json!(text.chars().take(40).collect::<String>()),
        "integer" => json!(schema["minimum"].as_i64().unwrap_or(1)),
        "number" => json!(schema["minimum"].as_f64().unwrap_or(1.5)),
        "boolean" => json!(true),
        "array" if depth < MAX_DEPTH => json!([inner(&schema["items"])]),
        "array" => json!([]),
        "object" if depth < 2 * MAX_DEPTH => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(name, field)| (name.clone(), inner(field)));
            Value::Object(fields.collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_follows_references_and_ends() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"$ref": "#/$defs/City"},
                "size": {"enum": ["small", "large"]},
                "tree": {"$ref": "#"},
            },
            "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string"}}}},
        });
        let example = example(&schema, "");
        assert_eq!(example["city"], json!({"name": "example"}));
        assert_eq!(example["size"], "small");
        assert_eq!(example["tree"]["city"]["name"], "example");
    }

    #[test]
    fn strict_modes_refuse_open_objects() {
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let says = check_openai(&open).unwrap_err();
        assert!(
            says.starts_with("In context=(), 'additionalProperties'"),
            "{says}"
        );
        assert!(check_anthropic(&open).is_err());
        let mut closed = open;
        closed["additionalProperties"] = false.into();
        assert!(check_openai(&closed).unwrap_err().ends_with("Missing 'a'."));
        assert_eq!(check_anthropic(&closed), Ok(()));
        closed["required"] = json!(["a"]);
        assert_eq!(check_openai(&closed), Ok(()));
        closed["properties"]["a"]["minLength"] = 1.into();
        let says = check_openai(&closed).unwrap_err();
        assert_eq!(says, "In context=('a'), 'minLength' is not permitted.");
        assert!(check_anthropic(&closed).is_err());
        assert!(check_openai(&json!({"type": "array"})).is_err());
    }
}
