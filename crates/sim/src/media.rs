//! Pictures in a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Describes the picture of an `image` block in Anthropic's dialect.
pub(crate) fn of_anthropic(block: &Value) -> String {
    let source = &block["source"];
    match source["data"].as_str() {
        Some(data) => describe(source["media_type"].as_str().unwrap_or_default(), data),
        None => "by its address".to_owned(),
    }
}

/// Describes the picture of an `image_url` part in OpenAI's dialect, which may be a `data:` URL.
pub(crate) fn of_openai(part: &Value) -> String {
    let url = part["image_url"]["url"].as_str().unwrap_or_default();
    let data = url.strip_prefix("data:");
    match data.and_then(|data| data.split_once(";base64,")) {
        Some((media_type, data)) => describe(media_type, data),
        None => "by its address".to_owned(),
    }
}

/// Returns the media type, and the size if the data can be read.
fn describe(media_type: &str, base64: &str) -> String {
    let size = STANDARD.decode(base64).ok();
    match size.and_then(|bytes| imagesize::blob_size(&bytes).ok()) {
        Some(size) => format!("{media_type}, {} × {} pixels", size.width, size.height),
        None => media_type.to_owned(),
    }
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
            of_anthropic(&json!({"type": "image", "source": source}))
        };
        let url = |url: String| of_openai(&json!({"type": "image_url", "image_url": {"url": url}}));
        assert_eq!(base64(PNG), "image/png, 1 × 1 pixels");
        assert_eq!(url(format!("data:image/png;base64,{PNG}")), base64(PNG));
        // Data that is cut off, and data that is not base64.
        assert_eq!(base64(&PNG[..12]), "image/png");
        assert_eq!(base64("?"), "image/png");
        assert_eq!(url("https://example.com/a.png".into()), "by its address");
    }
}
