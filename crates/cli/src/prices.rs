//! `warmline prices`.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::Args;
use serde_json::json;
use warmline::{Price, Usd};

use crate::report::{self, Failure};

#[derive(Args)]
pub(crate) struct Options {
    /// Print only models whose names contain this text, such as `openai/` for all of OpenAI's.
    model: Option<String>,
    /// Print a JSON object for each model, with prices in dollars per token.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let wanted = options.model.as_deref().unwrap_or_default();
    let name = |list: &str, model: &str| format!("{list}/{model}");
    let mut found: Vec<_> = Price::all()
        .filter(|(list, model, _)| name(list, model).contains(wanted))
        .collect();
    // A name with a date or a prefix can be in a list without them.
    let lists: BTreeSet<_> = Price::all().map(|(list, _, _)| list).collect();
    for list in lists {
        let is_found = found.iter().any(|(of, _, _)| *of == list);
        if let (false, Some(price)) = (is_found, Price::lookup(list, wanted)) {
            found.push((list, wanted, price));
        }
    }
    if found.is_empty() {
        return Err(Failure::Config(format!(
            "no model's name contains {}: `warmline prices` lists all",
            warmline::quote(wanted)
        )));
    }
    let mut text = String::new();
    let million = |price: Usd| (price * 1_000_000).to_string();
    if !options.json {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", Price::source());
        let _ = writeln!(
            text,
            "{:<52} {:>9} {:>9} {:>10} {:>11}",
            "$ per million tokens", "input", "output", "cache read", "cache write"
        );
    }
    for (list, model, price) in found {
        let name = name(list, model);
        let line = if options.json {
            json!({
                "model": name, "input": price.input, "output": price.output, "cache_read": price.cache_read,
                "cache_write": price.cache_write, "cache_write_1h": price.cache_write_1h,
                "audio_input": price.audio_input, "audio_output": price.audio_output, "web_search": price.web_search,
                "max_input_tokens": price.max_input_tokens, "max_output_tokens": price.max_output_tokens,
            })
            .to_string()
        } else {
            let [input, output, read, write] = [
                price.input,
                price.output,
                price.cache_read,
                price.cache_write,
            ]
            .map(million);
            format!("{name:<52} {input:>9} {output:>9} {read:>10} {write:>11}")
        };
        text += &line;
        text.push('\n');
    }
    report::print(&text).map(drop)
}
