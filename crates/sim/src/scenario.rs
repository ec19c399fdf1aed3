//! Scenarios: faults and timing that a request asks for.

use std::str::FromStr;
use std::time::Duration;

/// The header that carries a [`Scenario`].
pub const HEADER: &str = "x-sim-scenario";

/// How one request is answered.
///
/// A request has it in the header [`HEADER`], or after a `?` in the model's name, in the form of a URL's query:
/// `claude-sonnet-4-5?status=429&retry-after=1&times=2`.
///
/// | key | meaning |
/// | --- | --- |
/// | `times=N` | applies to the first N requests with this scenario; later ones have no fault |
/// | `status=N` | an error status with the dialect's error body |
/// | `type=…`, `code=…`, `message=…` | the fields of that body |
/// | `body=…` | the whole body |
/// | `header.NAME=…` | an additional header; `retry-after`, `retry-after-ms`, `x-should-retry` and `location` need no `header.` |
/// | `delay=MS` | the head is sent after so many milliseconds |
/// | `hold` | the head is sent after `Sim::release` |
/// | `pace=MS` | each token takes so many milliseconds |
/// | `tokens=N` | a text of N tokens |
/// | `flush` | each event is sent in its own packet |
/// | `fault=reset`, `fault=close` | the connection is reset or closed at the place `at` |
/// | `at=head`, `mid-head`, `body`, `event` | before the head; in the head; between events of the body; in an event |
/// | `after=N` | `at`, `stall`, `error-event` and `garbage` come after N pieces of content |
/// | `stall` | the body neither continues nor ends |
/// | `pings` | with `stall`: a ping every 10 ms |
/// | `error-event` | an error object in a response with status 200 |
/// | `garbage=head`, `body`, `event` | bytes that are not HTTP, not JSON |
/// | `huge=BYTES` | one piece of content of so many bytes |
/// | `content-type=…` | another content type |
/// | `no-usage`, `no-done`, `crlf`, `json-only` | differences of servers that are compatible with OpenAI |
/// | `bills-on` | the whole reply counts in the statistics, even if the client leaves before its end |
/// | `lenient` | odd JSON is read as by the most lenient servers: numbers in strings, names in any case, the largest of several limits |
/// | `idle-close=MS` | the connection is closed after so many idle milliseconds |
///
/// ```
/// use warmline_sim::Scenario;
///
/// let scenario: Scenario = "status=503&times=1".parse().unwrap();
/// assert_eq!(scenario.status, Some(503));
/// assert!("stauts=503".parse::<Scenario>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Scenario {
    pub times: Option<u64>,
    pub status: Option<u16>,
    pub error_type: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub body: Option<String>,
    pub headers: Vec<(String, String)>,
    pub delay: Duration,
    pub hold: bool,
    pub pace: Option<Duration>,
    pub tokens: Option<usize>,
    pub flush: bool,
    pub fault: Option<Fault>,
    pub at: At,
    pub after: usize,
    pub stall: bool,
    pub pings: bool,
    pub error_event: bool,
    pub garbage: Option<At>,
    pub huge: Option<usize>,
    pub content_type: Option<String>,
    pub no_usage: bool,
    pub no_done: bool,
    pub crlf: bool,
    pub json_only: bool,
    pub bills_on: bool,
    pub lenient: bool,
    pub idle_close: Option<Duration>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// By RST. Bytes that were sent may be lost.
    Reset,
    /// By FIN, before the response is complete.
    Close,
}

/// A place in the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Before the first byte.
    #[default]
    Head,
    /// In the head.
    MidHead,
    /// Between two events of the body, or in the middle of a body without events.
    Body,
    /// In an event.
    Event,
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut scenario = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{key}={value} is not a number"))
            };
            let ms = || number().map(Duration::from_millis);
            match &*key {
                "times" => scenario.times = Some(number()?),
                "status" => scenario.status = Some(number()?.clamp(200, 599) as u16),
                "type" => scenario.error_type = Some(value),
                "code" => scenario.code = Some(value),
                "message" => scenario.message = Some(value),
                "body" => scenario.body = Some(value),
                "retry-after" | "retry-after-ms" | "x-should-retry" | "location" => {
                    scenario.headers.push((key.into_owned(), value));
                }
                "delay" => scenario.delay = ms()?,
                "hold" => scenario.hold = true,
                "pace" => scenario.pace = Some(ms()?),
                "tokens" => scenario.tokens = Some(number()? as usize),
                "flush" => scenario.flush = true,
                "fault" => {
                    scenario.fault = Some(match value.as_str() {
                        "reset" => Fault::Reset,
                        "close" => Fault::Close,
                        _ => return Err(format!("fault={value} is neither reset nor close")),
                    });
                }
                "at" => scenario.at = at(&value)?,
                "after" => scenario.after = number()? as usize,
                "stall" => scenario.stall = true,
                "pings" => scenario.pings = true,
                "error-event" => scenario.error_event = true,
                "garbage" => scenario.garbage = Some(at(&value)?),
                "huge" => scenario.huge = Some(number()? as usize),
                "content-type" => scenario.content_type = Some(value),
                "no-usage" => scenario.no_usage = true,
                "no-done" => scenario.no_done = true,
                "crlf" => scenario.crlf = true,
                "json-only" => scenario.json_only = true,
                "bills-on" => scenario.bills_on = true,
                "lenient" => scenario.lenient = true,
                "idle-close" => scenario.idle_close = Some(ms()?),
                // Makes two scenarios different, so that their `times` are counted apart.
                "id" => {}
                other => match other.strip_prefix("header.") {
                    Some(name) => scenario.headers.push((name.to_owned(), value)),
                    None => return Err(format!("the scenario has an unknown key {other:?}")),
                },
            }
        }
        Ok(scenario)
    }
}

fn at(value: &str) -> Result<At, String> {
    match value {
        "head" => Ok(At::Head),
        "mid-head" => Ok(At::MidHead),
        "body" => Ok(At::Body),
        "event" => Ok(At::Event),
        _ => Err(format!("{value:?} is none of head, mid-head, body, event")),
    }
}
