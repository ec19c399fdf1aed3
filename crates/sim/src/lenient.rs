//! How the most lenient of the compatible servers read a request: names in any case, numbers as strings or with a
//! fraction, limits under many names of which the largest counts.

use serde_json::{Map, Value};

const LIMITS: [&str; 9] = [
    "max_tokens",
    "max_completion_tokens",
    "max_new_tokens",
    "max_output_tokens",
    "max_gen_len",
    "max_length",
    "max_tokens_to_sample",
    "num_predict",
    "n_predict",
];

/// The request as the dialect itself would write it.
pub(crate) fn read(body: Value) -> Value {
    let Value::Object(fields) = body else {
        return body;
    };
    let fields = fields.into_iter().map(|(k, v)| (k.to_lowercase(), v));
    let mut fields: Map<String, Value> = fields.collect();
    let largest = |names: &[&str], fields: &Map<String, Value>| {
        let given = names.iter().filter_map(|name| fields.get(*name));
        given.filter_map(number).max()
    };
    let limit = largest(&LIMITS, &fields);
    let replies = largest(&["n", "best_of"], &fields);
    fields.retain(|name, _| !LIMITS.contains(&&**name));
    fields.extend(limit.map(|limit| ("max_tokens".to_owned(), limit.into())));
    fields.extend(replies.map(|replies| ("n".to_owned(), replies.into())));
    fields.into()
}

fn number(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    number.map(|number: f64| number as u64)
}
