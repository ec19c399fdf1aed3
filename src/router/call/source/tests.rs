use super::*;
use crate::dialect::{Dialect, OpenAiChat};

#[test]
fn every_other_byte_of_a_body_stays() {
    for (body, expected) in [
        (r#"{"model":"a"}"#, r#"{"model":"\"b\" é"}"#),
        (
            " { \"x\": {\"model\": \"a\"},\n \"mo\\u0064el\" :\t\"\\u0061\" , \"messages\":[ ]} ",
            " { \"x\": {\"model\": \"a\"},\n \"mo\\u0064el\" :\t\"\\\"b\\\" é\" , \"messages\":[ ]} ",
        ),
    ] {
        let facts = OpenAiChat::default().facts(body.as_bytes()).unwrap();
        assert_eq!(facts.model.as_deref(), Some("a"), "{body}");
        assert_eq!(with_model(&body.into(), &facts, "a"), None);
        let replaced = with_model(&body.into(), &facts, "\"b\" é").unwrap();
        assert_eq!(std::str::from_utf8(&replaced).unwrap(), expected);
    }
}
