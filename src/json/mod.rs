//! A small reader and writer of JSON (RFC 8259). The code that serde derives for the wire types was half of the
//! WebAssembly module; this serves them all with one function per kind of value. A value of any shape stays
//! the text that it is.

mod read;
mod scan;
mod value;
mod write;

pub(crate) use self::read::{Malformed, Reader, Stopped, is_object, whole_number};
pub use self::value::RawJson;
pub(crate) use self::write::{Writer, quote, shorten};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::scan::unescaped_prefix_len;
    use super::*;

    fn read(text: &str) -> Result<&str, Malformed> {
        let mut reader = Reader::new(text);
        let value = reader.skip();
        match value.and_then(|value| reader.end().map(|()| value)) {
            Ok(value) => Ok(value),
            Err(Stopped) => Err(reader.malformed()),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // serde_json's own reader rounds the last digit of others wrongly.
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read(value in any_value()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(read(&text).unwrap(), text.as_str());
                let json: RawJson = text.parse().unwrap();
                prop_assert_eq!(serde_json::to_value(&json).unwrap(), value.clone());
                prop_assert_eq!(serde_json::to_string(&json).unwrap(), text);
            }
        }

        #[test]
        fn a_text_comes_back(text in any::<String>()) {
            let mut writer = Writer::default();
            writer.text(&text);
            let quoted = writer.into_text();
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.as_str());
            let mut reader = Reader::new(&quoted);
            let read = reader.text().unwrap();
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }

        #[test]
        fn a_float_comes_back_to_the_last_digit(number in proptest::num::f64::NORMAL) {
            let mut writer = Writer::default();
            writer.float(number);
            prop_assert_eq!(read(&writer.into_text()).unwrap().parse(), Ok(number));
        }

        #[test]
        fn serde_json_and_this_refuse_the_same(text in r#"[\[\]{}:,"\\u0-9eE+.\-tfnrulas \x00-\x20é]{0,12}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            let ours = read(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?} {:?}", text, ours, theirs);
        }

        #[test]
        fn the_plain_start_of_a_text_is_found(text in any::<Vec<u8>>()) {
            let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
            prop_assert_eq!(unescaped_prefix_len(&text), text.iter().position(special).unwrap_or(text.len()));
        }
    }

    #[test]
    fn one_object_and_nothing_else_is_an_object() {
        for (text, is) in [
            ("{}", true),
            (" {\"a\": null}\n", true),
            ("null", false),
            ("null}", false),
            ("null,\"a\":1}", false),
            ("{}x", false),
            ("{}{}", false),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(is_object(text), is, "{text}");
            let mut reader = Reader::new(text);
            let mut fields = || {
                reader.object()?;
                while reader.key()?.is_some() {
                    reader.pass()?;
                }
                reader.end()
            };
            assert_eq!(fields().is_ok(), is, "{text}");
        }
        for text in ["null]", "null,1]"] {
            assert_eq!(Reader::new(text).list(), Err(Stopped), "{text}");
        }
        let mut reader = Reader::new("[null, null, []]");
        reader.list().unwrap();
        assert_eq!(
            reader.item().and_then(|_| reader.object_or_null()),
            Ok(false)
        );
        assert_eq!(reader.item().and_then(|_| reader.list_or_null()), Ok(false));
        assert_eq!(reader.item().and_then(|_| reader.list_or_null()), Ok(true));
    }

    #[test]
    fn a_number_that_equals_a_whole_one_is_that() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.00e9", Some(0)),
            ("-0.0", Some(0)),
            ("0e-5", Some(0)),
            ("60000", Some(60_000)),
            ("60000.0", Some(60_000)),
            ("6e4", Some(60_000)),
            ("6E+4", Some(60_000)),
            ("0.6e5", Some(60_000)),
            ("600000e-1", Some(60_000)),
            ("0.0060e7", Some(60_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1844674407370955161.5e1", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1e20", None),
            ("1e99999999999999999999", None),
            ("1.5", None),
            ("15e-1", None),
            ("-1", None),
            ("-6e4", None),
            ("\"5\"", None),
            ("true", None),
            ("null", None),
            ("{}", None),
            ("\"\"", None),
        ] {
            assert_eq!(whole_number(text), number, "{text}");
        }
    }

    #[test]
    fn of_a_long_text_the_start_is_quoted() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        let long = "é".repeat(1 << 20);
        assert_eq!(quote(&long), format!("\"{}…\"", "é".repeat(128)));
        let whole = "x".repeat(256);
        assert_eq!(quote(&whole), format!("\"{whole}\""));
    }

    #[test]
    fn strings_with_escapes_are_read() {
        for (text, expected) in [
            (r#""a\"b\\c\/\b\f\n\r\t""#, "a\"b\\c/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\u4e2d""#, "é中"),
            (r#""\ud83d\ude00!""#, "😀!"),
        ] {
            assert_eq!(Reader::new(text).text().unwrap().as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, says) in [
            ("", "a value expected at byte 0"),
            (r#"{"a" 1}"#, "':' expected at byte 5"),
            (r#"{"a":1 "b":2}"#, "',' or '}' expected at byte 7"),
            ("[1,]", "a value expected at byte 3"),
            ("[1 2]", "',' or ']' expected at byte 3"),
            (r#"{"a":1,}"#, "a name in quotes expected at byte 7"),
            ("01", "the end expected at byte 1"),
            ("1.", "a digit expected at byte 2"),
            (r#""abc"#, "the end of a string expected at byte 4"),
            (r#""\ud800""#, "a pair of surrogates expected at byte 7"),
            (r#""\x""#, "an escape that JSON knows expected at byte 2"),
            ("\"\t\"", "no control character expected at byte 1"),
            ("nul", "null expected at byte 0"),
            (&"[".repeat(1000), "less nesting expected at byte 127"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), says, "{text}");
        }
        let mut reader = Reader::new("[5]");
        reader.list().unwrap();
        assert!(reader.item().unwrap());
        assert_eq!(reader.text(), Err(Stopped));
        let wrong = reader.malformed().to_string();
        assert_eq!(wrong, "a string or null expected at byte 1");
    }
}
