//! The JSON form of an [`Error`]: a flat object. Its fields depend on its `kind`.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Attempt, Details, Error, ErrorKind, TimeoutKind};
use crate::Provider;
use crate::millis::whole as ms;
use crate::usd::Usd;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Form<'a> {
    kind: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
    attempts: Cow<'a, [Attempt]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    which: Option<TimeoutKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<Usd>,
}

fn borrowed(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(Cow::Borrowed)
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details = self.details();
        let mut form = Form {
            kind: self.kind().name().into(),
            message: self.message().into(),
            provider: self.0.provider,
            hint: borrowed(self.hint()),
            attempts: self.attempts().into(),
            status: self.status(),
            code: borrowed(details.code.as_deref()),
            error_type: borrowed(details.error_type.as_deref()),
            request_id: borrowed(self.request_id()),
            retry_after_ms: self.retry_after().map(ms),
            body: borrowed(self.body()),
            cause: self.cause().map(Cow::Owned),
            ..Form::default()
        };
        match self.kind() {
            ErrorKind::PoolTimeout {
                max_connections,
                waited,
            } => {
                form.max_connections = Some(*max_connections);
                form.waited_ms = Some(ms(*waited));
            }
            ErrorKind::Timeout { which } => form.which = Some(*which),
            ErrorKind::Status { message, .. } => {
                form.provider_message = Some(message.as_str().into());
            }
            ErrorKind::BudgetExceeded {
                limit,
                spent,
                reserved,
                needed,
            } => {
                (form.limit, form.spent) = (Some(*limit), Some(*spent));
                (form.reserved, form.needed) = (Some(*reserved), Some(*needed));
            }
            _ => {}
        }
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let own = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let (code, error_type) = (own(form.code), own(form.error_type));
        let retry_after = form.retry_after_ms.map(Duration::from_millis);
        let kind = match &*form.kind {
            "config" => ErrorKind::Config,
            "pool_timeout" => ErrorKind::PoolTimeout {
                max_connections: form.max_connections.unwrap_or_default(),
                waited: Duration::from_millis(form.waited_ms.unwrap_or_default()),
            },
            "connect" => ErrorKind::Connect,
            "timeout" => ErrorKind::Timeout {
                which: form.which.ok_or_else(|| D::Error::missing_field("which"))?,
            },
            "status" => ErrorKind::Status {
                status: form
                    .status
                    .ok_or_else(|| D::Error::missing_field("status"))?,
                code: code.clone().or_else(|| error_type.clone()),
                message: own(form.provider_message).unwrap_or_default(),
            },
            "rate_limited" => ErrorKind::RateLimited { retry_after },
            "overloaded" => ErrorKind::Overloaded,
            "budget_exceeded" => ErrorKind::BudgetExceeded {
                limit: form.limit.unwrap_or_default(),
                spent: form.spent.unwrap_or_default(),
                reserved: form.reserved.unwrap_or_default(),
                needed: form.needed.unwrap_or_default(),
            },
            "ledger" => ErrorKind::Ledger,
            "decode" => ErrorKind::Decode,
            "stream" => ErrorKind::Stream,
            "cancelled" => ErrorKind::Cancelled,
            unknown => {
                return Err(D::Error::custom(format_args!(
                    "unknown error kind {unknown:?}"
                )));
            }
        };
        let mut error = Self::new(kind, form.message.into_owned())
            .with_hint(own(form.hint).unwrap_or_default())
            .with_attempts(form.attempts.into_owned())
            .with_details(Details {
                status: form.status,
                error_type,
                code,
                request_id: own(form.request_id),
                retry_after,
                should_retry: None,
                body: own(form.body),
            });
        error.0.provider = form.provider;
        Ok(match form.cause {
            Some(cause) => error.with_source(cause.into_owned()),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_round_trips_through_json() {
        let second = Duration::from_secs(1);
        for kind in [
            ErrorKind::Config,
            ErrorKind::PoolTimeout {
                max_connections: 3,
                waited: second,
            },
            ErrorKind::Timeout {
                which: TimeoutKind::Read,
            },
            ErrorKind::Status {
                status: 400,
                code: Some("bad".into()),
                message: "no".into(),
            },
            ErrorKind::RateLimited {
                retry_after: Some(second),
            },
            ErrorKind::BudgetExceeded {
                limit: Usd::from_pico(4),
                spent: Usd::from_pico(3),
                reserved: Usd::from_pico(2),
                needed: Usd::from_pico(1),
            },
            ErrorKind::Ledger,
            ErrorKind::Stream,
        ] {
            let error = Error::new(kind, "what happened")
                .with_source("the cause")
                .with_hint("what to do")
                .with_attempts(vec![
                    Error::stream("cut").attempt(second),
                    Attempt::succeeded(Some("req_1"), second),
                ])
                .with_provider(Provider::OpenAi)
                .with_details(Details {
                    status: Some(400),
                    code: Some("bad".into()),
                    request_id: Some("req_1".into()),
                    retry_after: Some(second),
                    body: Some("{}".into()),
                    ..Details::default()
                });
            let json = serde_json::to_string(&error).unwrap();
            let again: Error = serde_json::from_str(&json).unwrap();
            assert_eq!(again.kind(), error.kind());
            assert_eq!(again.to_string(), error.to_string());
            assert_eq!(serde_json::to_string(&again).unwrap(), json);
        }
        let unknown = serde_json::from_str::<Error>(r#"{"kind":"odd"}"#).unwrap_err();
        assert!(unknown.to_string().contains("\"odd\""), "{unknown}");
    }
}
