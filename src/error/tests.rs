use super::*;

const KEY: &str = "sk-live-0123456789abcdefghijklmnopqrstuvwxyz";

/// Everything that shows an error.
fn shown(error: &Error) -> [String; 3] {
    let json = serde_json::to_string(error).unwrap();
    [error.to_string(), format!("{error:?}"), json]
}

#[test]
fn a_key_is_redacted_at_every_place() {
    let kind = ErrorKind::Status {
        status: 401,
        code: Some(format!("code {KEY}")),
        message: format!("message {KEY}"),
    };
    let text = |place: &str| Some(format!("{place} {KEY}"));
    let error = Error::new(kind, format!("shown {KEY}"))
        .with_source(format!("cause {KEY}"))
        .with_details(Details {
            error_type: text("type"),
            code: text("code"),
            request_id: text("id"),
            body: text("body"),
            ..Details::default()
        });
    let error = error.redacted(&Secret::from(KEY));
    for shown in shown(&error) {
        assert!(!shown.contains("0123456789"), "{shown}");
        assert!(shown.contains("cause [redacted]"), "{shown}");
        assert!(shown.contains("id [redacted]"), "{shown}");
    }
    assert_eq!(error.body(), Some("body [redacted]"));
    assert_eq!(error.code(), Some("code [redacted]"));
}

/// A cause whose `Debug` shows more than its `Display`.
#[derive(Debug)]
#[allow(dead_code)]
struct Talkative(&'static str);

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Talkative {}

#[test]
fn debug_shows_no_more_of_the_cause_than_display() {
    let error = Error::config("no connection").with_source(Talkative("hunter2"));
    for shown in shown(&error) {
        assert!(shown.contains("refused"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn control_characters_of_a_provider_are_escaped() {
    let text = "a\u{1b}[31m\nb\r\u{202e}\u{9b}";
    let error = Error::config(text)
        .with_source(text)
        .with_request_id(Some(text));
    let escaped = "a\\u{1b}[31m\\nb\\r\\u{202e}\\u{9b}";
    assert_eq!(
        error.to_string(),
        format!("{escaped}: {escaped} [request {escaped}]")
    );
    assert_eq!(error.message(), text);
}
