//! What a case of `tests/vectors` expects, compared with what came.

use serde_json::{Value, json};
use warmline::Error;

/// Returns the first difference. `actual` may have additional fields in objects, but arrays must have the same length.
pub fn difference(expected: &Value, actual: &Value, at: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().find_map(|(key, value)| {
                difference(
                    value,
                    actual.get(key).unwrap_or(&Value::Null),
                    &format!("{at}.{key}"),
                )
            })
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(i, (expected, actual))| {
                difference(expected, actual, &format!("{at}[{i}]"))
            })
        }
        _ if expected == actual => None,
        _ => Some(format!("{at} is\n  {actual}\nand not\n  {expected}")),
    }
}

/// Returns how an error differs from the expected one.
pub fn error_difference(expected: &Value, error: Option<&Error>) -> Option<String> {
    let Some(error) = error else {
        return Some("did not fail".to_owned());
    };
    let actual = json!({
        "kind": error.kind().name(),
        "status": error.status(),
        "code": error.code(),
        "request_id": error.request_id(),
        "retry_after_ms": error.retry_after().map(|d| d.as_millis() as u64),
    });
    let mut expected = expected.clone();
    if let Some(says) = expected.as_object_mut().and_then(|e| e.remove("says"))
        && !error.to_string().contains(says.as_str().unwrap())
    {
        return Some(format!("the error does not say {says}: {error}"));
    }
    difference(&expected, &actual, "error").map(|difference| format!("{difference}\n({error})"))
}
