//! `warmline chat`.

use std::io::{IsTerminal, Read, stderr, stdin};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use warmline::{Client, Error, Reply, Request, StreamEvent};

use crate::environment::{self, Overrides};
use crate::report::{self, Failure};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// The prompt. Without it, or if it is `-`, the prompt is read from stdin.
    prompt: Option<String>,
    #[arg(long, help = environment::provider_help())]
    provider: Option<String>,
    /// The wire format, such as openai-responses. Without --provider, the first provider with a key that speaks it is called. [env: LLM_DIALECT]
    #[arg(long)]
    dialect: Option<String>,
    /// The model. [env: LLM_MODEL]
    #[arg(long)]
    model: Option<String>,
    /// The base URL of a server that speaks the provider's dialect. [env: the provider's own, such as OPENAI_BASE_URL]
    #[arg(long)]
    base_url: Option<String>,
    /// The maximum that may be spent this month, in dollars, or `none`. [env: LLM_BUDGET_LIMIT] [default: 50.0]
    #[arg(long, allow_negative_numbers = true)]
    budget: Option<String>,
    /// The system prompt.
    #[arg(long)]
    system: Option<String>,
    /// The maximum number of tokens that the model writes.
    #[arg(long, allow_negative_numbers = true)]
    max_tokens: Option<u32>,
    /// Print the reply once it is complete, instead of streaming it.
    #[arg(long)]
    no_stream: bool,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// The call that the program makes if it is started without arguments.
    pub(crate) fn example() -> Self {
        Self {
            prompt: Some("Hello! What are you?".to_owned()),
            ..Self::default()
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let prompt = prompt(options.prompt.as_deref())?;
    let overrides = Overrides {
        provider: options.provider,
        dialect: options.dialect,
        model: options.model,
        base_url: options.base_url,
        budget: options.budget,
    };
    // The simulator must outlive the call.
    let (client, _simulator) = environment::client(overrides).await?;
    let mut request = Request::new().user(prompt);
    if let Some(system) = options.system {
        request = request.system(system);
    }
    request.max_tokens = options.max_tokens;
    let call = async {
        if options.no_stream {
            unary(&client, request, !options.json).await
        } else {
            stream(&client, request, !options.json).await
        }
    };
    let reply = tokio::select! {
        reply = call => reply?,
        _ = tokio::signal::ctrl_c() => return Err(Error::cancelled().into()),
    };
    let Some(reply) = reply else { return Ok(()) };
    let pool = client.stats();
    if options.json {
        report::json(&report::reply(&reply, &pool))?;
    } else if stderr().is_terminal() {
        report::note(format_args!("{}", report::summary(&reply, &pool)));
    }
    Ok(())
}

fn prompt(given: Option<&str>) -> Result<String, Failure> {
    let text = match given {
        Some(text) if text != "-" => text.to_owned(),
        _ => {
            if stdin().is_terminal() {
                report::note(format_args!("Type a prompt, and end it with Ctrl-D:"));
            }
            let mut bytes = Vec::new();
            stdin()
                .read_to_end(&mut bytes)
                .map_err(|e| Failure::Config(format!("stdin cannot be read: {e}")))?;
            String::from_utf8(bytes).map_err(|e| {
                Failure::Config(format!("the prompt on stdin is not UTF-8 text: {e}"))
            })?
        }
    };
    if text.trim().is_empty() {
        return Err(Failure::Config(
            "the prompt is empty: give one as an argument or on stdin".to_owned(),
        ));
    }
    Ok(text)
}

/// Returns `None` if the reader of stdout has closed it.
async fn unary(client: &Client, request: Request, print: bool) -> Result<Option<Reply>, Failure> {
    let waiting = spinner();
    let reply = client.chat(request).await;
    waiting.finish_and_clear();
    let reply = reply?;
    if print && !report::print(&(reply.text() + "\n"))? {
        return Ok(None);
    }
    Ok(Some(reply))
}

/// Returns `None` if the reader of stdout has closed it.
async fn stream(client: &Client, request: Request, print: bool) -> Result<Option<Reply>, Failure> {
    let waiting = spinner();
    let mut stream = client.stream(request);
    let mut ends_with_newline = true;
    while let Some(event) = stream.next().await {
        let event = event.inspect_err(|_| {
            waiting.finish_and_clear();
            if !ends_with_newline {
                // The call's own error is the one to report.
                let _ = report::print("\n");
            }
        })?;
        match event {
            StreamEvent::Text { text } => {
                waiting.finish_and_clear();
                ends_with_newline = text.ends_with('\n');
                if print && !report::print(&text)? {
                    return Ok(None);
                }
            }
            StreamEvent::Done { reply } => {
                waiting.finish_and_clear();
                if print && !ends_with_newline && !report::print("\n")? {
                    return Ok(None);
                }
                return Ok(Some(*reply));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A spinner to show until the first token arrives. It is hidden if stderr is not a terminal.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(80));
    bar
}
