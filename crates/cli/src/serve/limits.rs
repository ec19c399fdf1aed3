//! The limits of `warmline serve`, from the command line, the environment and `.env`.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use warmline::{ClientBuilder, quote};
use warmline_gateway::{GatewayBuilder, Server};

use super::config::Listen;
use crate::environment::Variables;
use crate::report::Failure;

#[derive(Args)]
pub(crate) struct LimitArgs {
    /// The maximum size of a request body, in bytes. [env: LLM_SERVE_MAX_BODY] [default: 33554432]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_body: Option<String>,
    /// The maximum size of all request bodies together, in bytes: of those that arrive, and of those whose calls are under way.
    /// [env: LLM_SERVE_MAX_BODY_TOTAL] [default: 268435456]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_body_total: Option<String>,
    /// The maximum size of a provider's reply, in bytes, of a stream with all its comments. Those of other endpoints, such as files, are not
    /// limited. [env: LLM_SERVE_MAX_REPLY] [default: 67108864]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_reply: Option<String>,
    /// How long a request body may take to arrive, in seconds. [env: LLM_SERVE_BODY_TIMEOUT] [default: 120]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    body_timeout: Option<String>,
    /// How long the head of a request may take to arrive, and an idle connection may stay open, in seconds.
    /// [env: LLM_SERVE_HEADER_TIMEOUT] [default: 60]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    header_timeout: Option<String>,
    /// How long a caller may read nothing of a response that is being written, in seconds. [env: LLM_SERVE_WRITE_TIMEOUT] [default: 60]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    write_timeout: Option<String>,
    /// The maximum number of open connections from callers. For a further caller, an idle one is closed; if none is idle, the caller waits.
    /// [env: LLM_SERVE_MAX_CALLER_CONNECTIONS] [default: 1024]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_caller_connections: Option<String>,
    /// How long a shutdown waits for open requests to end, in seconds. Then they are cut.
    /// [env: LLM_SERVE_SHUTDOWN_TIMEOUT] [default: 25]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    shutdown_timeout: Option<String>,
}

pub(crate) struct Limits {
    max_body: usize,
    max_body_total: usize,
    /// `None` for the default of a client.
    max_reply: Option<usize>,
    body_timeout: Duration,
    header_timeout: Duration,
    write_timeout: Duration,
    max_connections: usize,
    pub(crate) shutdown_timeout: Duration,
}

const BYTES: RangeInclusive<usize> = 1..=1 << 40;
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;

impl LimitArgs {
    /// # Errors
    /// `Config` for a value out of bounds. The message names the option or the variable that it comes from.
    pub(crate) fn resolve(self, variables: &Variables, listen: &Listen) -> Result<Limits, Failure> {
        let number = |option, name, range, default| {
            let given = Given::find(option, name, variables, listen)?;
            given.map_or(Ok(default), |given| given.number(range))
        };
        let seconds = |option, name, default| {
            let given = Given::find(option, name, variables, listen)?;
            given.map_or(Ok(default), Given::seconds)
        };
        let max_body = number(self.max_body, "max-body", BYTES, GatewayBuilder::MAX_BODY)?;
        let max_body_total = number(
            self.max_body_total,
            "max-body-total",
            BYTES,
            GatewayBuilder::MAX_BODY_TOTAL.max(max_body),
        )?;
        if max_body_total < max_body {
            return Err(Failure::Config(format!(
                "--max-body-total (LLM_SERVE_MAX_BODY_TOTAL) is {max_body_total}: it must be at least --max-body (LLM_SERVE_MAX_BODY), which \
                 is {max_body}"
            )));
        }
        let max_reply = Given::find(self.max_reply, "max-reply", variables, listen)?;
        let max_reply = max_reply.map(|given| given.number(BYTES));
        Ok(Limits {
            max_body,
            max_body_total,
            max_reply: max_reply.transpose()?,
            body_timeout: seconds(
                self.body_timeout,
                "body-timeout",
                GatewayBuilder::BODY_TIMEOUT,
            )?,
            header_timeout: seconds(
                self.header_timeout,
                "header-timeout",
                Server::HEADER_TIMEOUT,
            )?,
            write_timeout: seconds(self.write_timeout, "write-timeout", Server::WRITE_TIMEOUT)?,
            max_connections: number(
                self.max_caller_connections,
                "max-caller-connections",
                CONNECTIONS,
                Server::MAX_CONNECTIONS,
            )?,
            shutdown_timeout: seconds(
                self.shutdown_timeout,
                "shutdown-timeout",
                Server::SHUTDOWN_TIMEOUT,
            )?,
        })
    }
}

impl Limits {
    pub(crate) fn of_bodies(&self, builder: GatewayBuilder) -> GatewayBuilder {
        builder
            .max_body(self.max_body)
            .max_body_total(self.max_body_total)
            .body_timeout(self.body_timeout)
    }

    pub(crate) fn of_replies(&self) -> impl Fn(ClientBuilder) -> ClientBuilder + use<> {
        let max_reply = self.max_reply;
        move |builder| match max_reply {
            Some(bytes) => builder.max_reply_bytes(bytes),
            None => builder,
        }
    }

    pub(crate) fn server(&self, listener: TcpListener) -> Server {
        Server::new(listener)
            .max_connections(self.max_connections)
            .header_timeout(self.header_timeout)
            .write_timeout(self.write_timeout)
            .shutdown_timeout(self.shutdown_timeout)
    }
}

/// A value that is set, and where.
struct Given {
    name: String,
    value: String,
}

impl Given {
    /// Finds the value of an option, or else of its variable, or else in the file of `--config`.
    fn find(
        option: Option<String>,
        name: &str,
        variables: &Variables,
        listen: &Listen,
    ) -> Result<Option<Self>, Failure> {
        if let Some(value) = option {
            let name = format!("--{name}");
            return Ok(Some(Self { name, value }));
        }
        let in_file = listen.limit(name).map(|value| Self {
            name: format!("listen.{}", name.replace('-', "_")),
            value,
        });
        let name = format!("LLM_SERVE_{}", name.to_uppercase().replace('-', "_"));
        let Some(value) = variables.get(&name) else {
            return Ok(in_file);
        };
        match value.into_string() {
            Ok(value) => Ok(Some(Self { name, value })),
            Err(_) => Err(Failure::Config(format!("{name} is not UTF-8 text"))),
        }
    }

    fn number(self, range: RangeInclusive<usize>) -> Result<usize, Failure> {
        let number = self.value.trim().parse();
        let number = number.ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            self.wrong(&format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ))
        })
    }

    fn seconds(self) -> Result<Duration, Failure> {
        let seconds = self.value.trim().parse();
        let seconds = seconds
            .ok()
            .filter(|seconds| (0.001..=86_400.0).contains(seconds));
        match seconds {
            Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
            None => Err(self.wrong("a number of seconds from 0.001 to 86400")),
        }
    }

    fn wrong(&self, expected: &str) -> Failure {
        let Self { name, value } = self;
        Failure::Config(format!("{name} is {}: it must be {expected}", quote(value)))
    }
}
