//! What the command prints about a call, and the exit codes.

use std::fmt;
use std::io::{Write, stderr};
use std::process::ExitCode;

use serde_json::{Value, json};
use warmline::{Error, ErrorKind, PoolStats, Reply, ToolCall};
use warmline_gateway::ConfigError;

/// Why a command failed.
pub(crate) enum Failure {
    Call(Error),
    Config(String),
    Other(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// 1: the call failed. 2: bad usage or configuration. 3: over budget. 130: interrupted (128 + SIGINT, as shells expect).
fn exit_code(kind: &ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config => 2,
        ErrorKind::BudgetExceeded { .. } => 3,
        ErrorKind::Cancelled => 130,
        _ => 1,
    }
}

pub(crate) fn error(failure: &Failure, as_json: bool) -> ExitCode {
    let (code, kind, message, error) = match failure {
        Failure::Call(error) => (
            exit_code(error.kind()),
            error.kind().name(),
            error.to_string(),
            Some(error),
        ),
        Failure::Config(message) => (2, "config", message.clone(), None),
        Failure::Other(message) => (1, "connect", message.clone(), None),
    };
    if !as_json {
        return failed(&message, code);
    }
    // The exit code still tells that it has failed.
    if let Err(Failure::Other(unwritten)) = json(&error_object(kind, &message, error)) {
        note(format_args!("warmline: {unwritten}"));
    }
    ExitCode::from(code)
}

/// Writes a line to stderr. `eprintln!` would panic if nobody reads stderr any more, or the disk with the log is full.
pub(crate) fn note(line: impl fmt::Display) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

pub(crate) fn failed(message: &str, code: u8) -> ExitCode {
    note(format_args!("warmline: {message}"));
    ExitCode::from(code)
}

pub(crate) fn error_object(kind: &str, message: &str, error: Option<&Error>) -> Value {
    json!({"error": {
        "kind": kind,
        "message": message,
        "status": error.and_then(Error::status),
        "code": error.and_then(Error::code),
        "request_id": error.and_then(Error::request_id),
        "attempts": error.map_or(0, |error| error.attempts().len()),
    }})
}

/// Prints one line of JSON.
///
/// # Errors
/// Those of [`print()`].
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n")).map(drop)
}

/// Prints to stdout. Returns whether anyone still reads it.
///
/// # Errors
/// It cannot be written, as if the disk is full.
pub(crate) fn print(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Other(format!("stdout cannot be written: {error}"))),
    }
}

pub(crate) fn reply(reply: &Reply, pool: &PoolStats) -> Value {
    let ms = |duration: std::time::Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let usage = &reply.usage;
    json!({
        "text": reply.text(),
        "reasoning": reply.reasoning(),
        "tool_calls": reply.tool_calls().map(tool_call).collect::<Vec<_>>(),
        "stop_reason": reply.stop_reason,
        "model": reply.model,
        "provider": reply.provider,
        "request_id": reply.request_id,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "cost_usd": reply.cost.map(|cost| cost.usd),
        "cost_estimated": reply.cost.is_some_and(|cost| cost.estimated),
        "attempts": reply.attempts().len(),
        "timing_ms": {
            "queued": ms(reply.timing.queued),
            "connect": reply.timing.connect.map(ms),
            "first_event": ms(reply.timing.time_to_first_token),
            "total": ms(reply.timing.total),
        },
        "pool": pool,
    })
}

fn tool_call(call: &ToolCall) -> Value {
    // Arguments that are not valid JSON are shown as a string.
    let arguments: Value =
        serde_json::from_str(&call.arguments).unwrap_or_else(|_| call.arguments.clone().into());
    json!({"id": call.id, "name": call.name, "arguments": arguments})
}

/// A line for people: the model, tokens, cost and times of a call.
pub(crate) fn summary(reply: &Reply, pool: &PoolStats) -> String {
    let timing = &reply.timing;
    let connection = match timing.connect {
        Some(took) => format!("new connection in {took:.1?}"),
        None => "warm connection".to_owned(),
    };
    let cost = reply.cost.map_or_else(String::new, |cost| {
        let about = if cost.estimated { "about " } else { "" };
        format!(" · {about}${}", cost.usd)
    });
    format!(
        "[{} · {} in, {} out{cost} · {connection} · first token {:.0?} · total {:.1?} · {pool}]",
        reply.model,
        reply.usage.total_input_tokens(),
        reply.usage.output_tokens,
        timing.time_to_first_token,
        timing.total,
    )
}
