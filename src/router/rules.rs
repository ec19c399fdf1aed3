//! Which failures move a call to another target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quote::quote;
use crate::{Error, ErrorKind, Result, TimeoutKind};

/// What a [`Router`](crate::Router) does if a target fails before the first content.
///
/// ```
/// use warmline::{Error, ErrorKind, RoutingAction, RoutingRules};
///
/// let action = RoutingRules::default().action(&Error::new(ErrorKind::Overloaded, "try later"));
/// assert_eq!(action, RoutingAction::CoolDown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoutingAction {
    /// Return the failure to the caller. No other target is tried.
    Answer,
    /// Try another target. The failing one cools down if this was its third failure in a row.
    MoveOn,
    /// Try another target. The failing one cools down at once.
    CoolDown,
}

/// The actions of a [`Router`](crate::Router) for failures, by error code, HTTP status and kind.
///
/// An entry for the provider's error code or type has precedence over an entry for the status. An entry for the status has precedence over
/// an entry for the [kind](ErrorKind::name). Failures that match no entry have these actions:
///
/// | failure | action |
/// | --- | --- |
/// | the code `insufficient_quota`, or status 402: the account has no credit left | cool down |
/// | `rate_limited` (429), `overloaded` (503, 529) | cool down |
/// | `connect`; a `timeout` of connecting | cool down |
/// | status 408, 409 and every other one from 500 | move on |
/// | `stream`: the reply broke off, or reported an error, before its first content | move on |
/// | `pool_timeout`: no connection of the target became free | move on |
/// | any other status, such as 400 and 401, a refused budget, a `timeout` after the request was sent | answer |
///
/// With a `retry-after`, the action is "cool down" instead of "move on". With `x-should-retry: true`, it is "move on" instead of "answer".
///
/// The JSON form is `{"codes": {"CODE": ACTION}, "statuses": {"STATUS": ACTION}, "kinds": {"KIND": ACTION}}`. An action is `answer`,
/// `move_on` or `cool_down`.
///
/// ```
/// use warmline::{RoutingAction, RoutingRules};
///
/// // A revoked key is a failure of its target.
/// let rules = RoutingRules::default().status(401, RoutingAction::CoolDown);
/// let same: RoutingRules = serde_json::from_str(r#"{"statuses": {"401": "cool_down"}}"#)?;
/// assert_eq!(rules, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingRules {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    codes: BTreeMap<String, RoutingAction>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    statuses: BTreeMap<u16, RoutingAction>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kinds: BTreeMap<String, RoutingAction>,
}

impl RoutingRules {
    /// Sets the action for a provider's error code or type, as [`Error::code`] and [`Error::error_type`] return them.
    ///
    /// ```
    /// # use warmline::{RoutingAction, RoutingRules};
    /// let rules = RoutingRules::default().code("model_not_found", RoutingAction::MoveOn);
    /// ```
    #[must_use]
    pub fn code(mut self, code: impl Into<String>, action: RoutingAction) -> Self {
        self.codes.insert(code.into(), action);
        self
    }

    /// Sets the action for an HTTP status.
    ///
    /// ```
    /// # use warmline::{RoutingAction, RoutingRules};
    /// let rules = RoutingRules::default().status(404, RoutingAction::MoveOn);
    /// ```
    #[must_use]
    pub fn status(mut self, status: u16, action: RoutingAction) -> Self {
        self.statuses.insert(status, action);
        self
    }

    /// Sets the action for a kind of error, by its [name](ErrorKind::name).
    ///
    /// ```
    /// # use warmline::{RoutingAction, RoutingRules};
    /// let rules = RoutingRules::default().kind("timeout", RoutingAction::MoveOn);
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>, action: RoutingAction) -> Self {
        self.kinds.insert(kind.into(), action);
        self
    }

    /// Returns the action for a failure.
    ///
    /// ```
    /// # use warmline::{Error, ErrorKind, RoutingAction, RoutingRules};
    /// let refused = Error::new(ErrorKind::Config, "bad");
    /// assert_eq!(RoutingRules::default().action(&refused), RoutingAction::Answer);
    /// ```
    pub fn action(&self, error: &Error) -> RoutingAction {
        let details = error.details();
        let names = [details.code.as_deref(), details.error_type.as_deref()];
        let by_code = names
            .into_iter()
            .flatten()
            .find_map(|name| self.codes.get(name));
        let by_status = || self.statuses.get(&error.status()?);
        let by_kind = || self.kinds.get(error.kind().name());
        if let Some(action) = by_code.or_else(by_status).or_else(by_kind) {
            return *action;
        }
        match by_default(error) {
            RoutingAction::Answer if details.should_retry == Some(true) => RoutingAction::MoveOn,
            RoutingAction::MoveOn if error.retry_after().is_some() => RoutingAction::CoolDown,
            action => action,
        }
    }
}

/// The names of the kinds of errors.
const KINDS: [&str; 12] = [
    "config",
    "pool_timeout",
    "connect",
    "timeout",
    "status",
    "rate_limited",
    "overloaded",
    "budget_exceeded",
    "ledger",
    "decode",
    "stream",
    "cancelled",
];

impl RoutingRules {
    /// # Errors
    /// `Config` for a kind of error or a status that does not exist.
    pub(super) fn check(&self) -> Result<()> {
        let unknown = |kind: &&String| !KINDS.contains(&kind.as_str());
        if let Some(kind) = self.kinds.keys().find(unknown) {
            let message = [
                "the routing rules have the unknown kind of error ",
                &quote(kind),
                ": it must be one of ",
                &KINDS.join(", "),
            ];
            return Err(Error::config(message.concat()));
        }
        let is_none = |status: &&u16| !(300..=599).contains(*status);
        match self.statuses.keys().find(is_none) {
            Some(status) => Err(Error::config(format!(
                "the routing rules have the status {status}: it must be that of a failure, from 300 to 599"
            ))),
            None => Ok(()),
        }
    }
}

fn by_default(error: &Error) -> RoutingAction {
    if error.code() == Some("insufficient_quota") {
        return RoutingAction::CoolDown;
    }
    match error.kind() {
        ErrorKind::RateLimited { .. } | ErrorKind::Overloaded | ErrorKind::Connect => {
            RoutingAction::CoolDown
        }
        ErrorKind::Timeout { which } if *which == TimeoutKind::Connect => RoutingAction::CoolDown,
        ErrorKind::Status { status, .. } => match status {
            402 => RoutingAction::CoolDown,
            408 | 409 | 500.. => RoutingAction::MoveOn,
            _ => RoutingAction::Answer,
        },
        ErrorKind::Stream | ErrorKind::PoolTimeout { .. } => RoutingAction::MoveOn,
        _ => RoutingAction::Answer,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::HeaderMap;

    use super::RoutingAction::{Answer, CoolDown, MoveOn};
    use super::*;
    use crate::dialect::decode_error;

    fn of_status(status: u16, header: Option<(&'static str, &str)>, body: &str) -> Error {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, value.parse().unwrap());
        }
        decode_error(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_default_table() {
        let quota = r#"{"error":{"message":"spent","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let filtered = r#"{"error":{"message":"no","code":"content_filter"}}"#;
        let after = Some(("retry-after", "7"));
        for (status, header, body, action) in [
            (400, None, "", Answer),
            (400, None, filtered, Answer),
            (400, Some(("x-should-retry", "true")), "", MoveOn),
            (401, None, "", Answer),
            (402, None, "", CoolDown),
            (403, None, "", Answer),
            (404, None, "", Answer),
            (408, None, "", MoveOn),
            (409, None, "", MoveOn),
            (413, None, "", Answer),
            (429, None, "", CoolDown),
            (429, None, quota, CoolDown),
            (500, None, "", MoveOn),
            (500, after, "", CoolDown),
            (502, None, "", MoveOn),
            (503, None, "", CoolDown),
            (529, None, "", CoolDown),
        ] {
            let error = of_status(status, header, body);
            let got = RoutingRules::default().action(&error);
            assert_eq!(got, action, "{status} {header:?} {body}");
        }
        let second = Duration::from_secs(1);
        for (error, action) in [
            (Error::new(ErrorKind::Connect, ""), CoolDown),
            (Error::timeout(TimeoutKind::Connect, second), CoolDown),
            (Error::timeout(TimeoutKind::Reply, second), Answer),
            (Error::timeout(TimeoutKind::Deadline, second), Answer),
            (Error::stream("cut"), MoveOn),
            (Error::decode("garbage"), Answer),
            (Error::config("wrong"), Answer),
            (Error::new(ErrorKind::Ledger, "locked"), Answer),
            (Error::cancelled(), Answer),
        ] {
            assert_eq!(RoutingRules::default().action(&error), action, "{error}");
        }
    }

    #[test]
    fn entries_that_match_nothing_are_refused_and_no_kind_is_missing() {
        let of = |name: &str| format!(r#"{{"kind": "{name}", "status": 1, "which": "read"}}"#);
        for kind in KINDS {
            let error: Error = serde_json::from_str(&of(kind)).unwrap();
            assert_eq!(error.kind().name(), kind);
            assert!(RoutingRules::default().kind(kind, Answer).check().is_ok());
        }
        let wrong = RoutingRules::default().kind("timout", MoveOn).check();
        assert!(
            wrong
                .unwrap_err()
                .message()
                .contains("\"timout\": it must be one of config")
        );
        for (status, is_accepted) in [(299, false), (300, true), (599, true), (600, false)] {
            let rules = RoutingRules::default().status(status, MoveOn);
            assert_eq!(rules.check().is_ok(), is_accepted, "{status}");
        }
    }

    #[test]
    fn own_entries_have_precedence_by_code_then_status_then_kind() {
        let body = r#"{"error":{"message":"m","type":"t","code":"c"}}"#;
        let error = of_status(500, None, body);
        let mut rules = RoutingRules::default().kind("status", Answer);
        assert_eq!(rules.action(&error), Answer);
        rules = rules.status(500, CoolDown);
        assert_eq!(rules.action(&error), CoolDown);
        rules = rules.code("t", Answer);
        assert_eq!(rules.action(&error), Answer);
        rules = rules.code("c", MoveOn);
        assert_eq!(rules.action(&error), MoveOn);
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<RoutingRules>(&json).unwrap(), rules);
        assert!(serde_json::from_str::<RoutingRules>(r#"{"kind": {}}"#).is_err());
    }
}
