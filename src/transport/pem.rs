//! Root certificates in PEM (RFC 7468).

use crate::quote::quote;
use crate::{Error, Result};

/// Checks that a text holds certificates and nothing else. TLS libraries skip other blocks without an error.
///
/// # Errors
/// `Config`, which names what the text holds instead.
pub(crate) fn check_certificates(pem: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(pem);
    let mut labels = text.lines().filter_map(|line| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        label.strip_suffix("-----")
    });
    let Some(first) = labels.next() else {
        return Err(Error::config(
            "a root certificate is not in PEM format: it must contain `-----BEGIN CERTIFICATE-----`",
        ));
    };
    let mut labels = std::iter::once(first).chain(labels);
    let wrong = labels.find(|label| *label != "CERTIFICATE");
    match wrong {
        None => Ok(()),
        Some(label) => Err(Error::config(format!(
            "a root certificate contains a block {}: it must contain only CERTIFICATE blocks",
            quote(label)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_certificates_is_an_error_that_names_it() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
        let one = block("CERTIFICATE");
        let key = block("PRIVATE KEY");
        for (pem, says) in [
            (one.clone(), None),
            (["# The company's\r\n", &one, &one].concat(), None),
            (key.clone(), Some("a block \"PRIVATE KEY\"")),
            ([&*one, &key].concat(), Some("a block \"PRIVATE KEY\"")),
            ([&*key, &one].concat(), Some("a block \"PRIVATE KEY\"")),
            (String::new(), Some("not in PEM format")),
            ("\u{0}\u{1}DER".into(), Some("not in PEM format")),
        ] {
            let error = check_certificates(pem.as_bytes()).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(says.unwrap_or_default()), "{error}");
            assert_eq!(error.is_empty(), says.is_none(), "{error}");
        }
    }
}
