//! Pictures in a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagesize::ImageSize;
use serde_json::Value;

use crate::answer::count;

/// Describes the picture of an `image` block in Anthropic's dialect or of an `image_url` part in OpenAI's.
pub(crate) fn describe(part: &Value) -> String {
    match inline(part) {
        Some((media_type, data)) => match size(data) {
            Some(size) => format!("{media_type}, {} × {} pixels", size.width, size.height),
            None => media_type.to_owned(),
        },
        None => "by its address".to_owned(),
    }
}

/// Counts the tokens of JSON, of which pictures have one for each 750 pixels:
/// <https://docs.claude.com/en/docs/build-with-claude/vision>.
pub(crate) fn count_tokens(json: &Value) -> u64 {
    let mut json = json.clone();
    let pictures = take_pictures(&mut json);
    count(&json.to_string()) + pictures
}

/// Removes the pictures from JSON, and returns their tokens.
fn take_pictures(json: &mut Value) -> u64 {
    if let Some((_, data)) = inline(json) {
        let pixels = size(data).map_or(0, |size| size.width * size.height);
        *json = Value::Null;
        return (pixels as u64).div_ceil(750);
    }
    match json {
        Value::Array(values) => values.iter_mut().map(take_pictures).sum(),
        Value::Object(fields) => fields.values_mut().map(take_pictures).sum(),
        _ => 0,
    }
}

/// Returns the media type and the base64 of a picture that is in the request, not at an address.
fn inline(part: &Value) -> Option<(&str, &str)> {
    match part["type"].as_str()? {
        "image" => {
            let source = &part["source"];
            Some((source["media_type"].as_str()?, source["data"].as_str()?))
        }
        "image_url" | "input_image" => {
            let url = &part["image_url"];
            let url = url.as_str().or_else(|| url["url"].as_str())?;
            url.strip_prefix("data:")?.split_once(";base64,")
        }
        _ => None,
    }
}

fn size(base64: &str) -> Option<ImageSize> {
    let bytes = STANDARD.decode(base64).ok()?;
    imagesize::blob_size(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One pixel.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    #[test]
    fn the_size_of_a_picture_is_known_in_both_dialects() {
        let base64 = |data: &str| {
            let source = json!({"type": "base64", "media_type": "image/png", "data": data});
            describe(&json!({"type": "image", "source": source}))
        };
        let url = |url: String| describe(&json!({"type": "image_url", "image_url": {"url": url}}));
        assert_eq!(base64(PNG), "image/png, 1 × 1 pixels");
        assert_eq!(url(format!("data:image/png;base64,{PNG}")), base64(PNG));
        // Data that is cut off, and data that is not base64.
        assert_eq!(base64(&PNG[..12]), "image/png");
        assert_eq!(base64("?"), "image/png");
        assert_eq!(url("https://example.com/a.png".into()), "by its address");
    }

    #[test]
    fn a_picture_has_tokens_by_its_size_not_by_its_base64() {
        let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
        let blocks = json!([{"type": "text", "text": "?"}, {"type": "image", "source": source}]);
        let without = json!([{"type": "text", "text": "?"}, null]);
        assert_eq!(
            count_tokens(&blocks),
            count(&without.to_string()) + 1,
            "one pixel is one token"
        );
    }
}
