//! Tools, of which the provider runs some itself, and other models that may answer.

use serde_json::value::RawValue;

use super::fields::{FALLBACK, TOOL};
use super::values::{items, model};
use super::{MAX_MODELS, Reading, RequestFacts, read_object};

/// The assumed maximum of searches in a call that does not set one. Anthropic's loop has ten rounds
/// (<https://docs.claude.com/en/docs/build-with-claude/handling-stop-reasons>), and each can have several searches.
const MOST_SEARCHES: u64 = 30;
/// The assumed maximum of questions to Anthropic's advisor.
const MOST_ADVICE: u64 = 10;

impl RequestFacts {
    /// Records that the provider may search the web, at most this many times.
    pub(super) fn search(&mut self, most: Option<u64>) {
        let most = most.unwrap_or(MOST_SEARCHES);
        self.searches = self.searches.saturating_add(most);
        self.more_input = true;
    }

    /// Records another model that may answer.
    pub(super) fn add_model(&mut self, model: &str) {
        match self.models.len() {
            ..MAX_MODELS if !model.is_empty() => self.models.push(model.to_owned()),
            _ => self.any_model = true,
        }
    }

    /// Records a tool of a type. `uses` is its `max_uses`.
    fn add_tool(&mut self, kind: &str, uses: Option<u64>) {
        let is = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
        self.prompted = true;
        if matches!(kind, "" | "function" | "custom") {
            return;
        }
        // The caller runs these.
        if is(&["bash_2", "text_editor_", "memory_", "computer_", "browser_"]) {
            self.known_tools += 1;
            return;
        }
        self.more_input = true;
        if is(&["code_execution_"]) {
            self.containers += 1;
        } else if is(&["advisor_"]) {
            let uses = uses.unwrap_or(MOST_ADVICE);
            self.more_runs = self.more_runs.saturating_add(uses);
        } else if !is(&["web_fetch_", "tool_search_tool_", "mcp_toolset"]) {
            // Web searches, and what is not known.
            self.search(uses);
        }
    }
}

/// Reads a list of tools.
pub(super) fn read_tools<'b>(reading: &mut Reading<'b>, tools: &'b RawValue) -> Result<(), String> {
    for tool in items(tools) {
        if !read_object(reading, "a tool", [TOOL, &[]], tool)? {
            reading.tool = "?".to_owned();
        }
        let kind = std::mem::take(&mut reading.tool);
        let uses = reading.tool_uses.take();
        reading.facts.add_tool(&kind, uses);
    }
    Ok(())
}

/// Reads other models that may answer: names, or objects with a name. `is_run` is whether each can be billed in addition to the
/// requested model.
pub(super) fn read_models<'b>(
    reading: &mut Reading<'b>,
    models: &'b RawValue,
    is_run: bool,
) -> Result<(), String> {
    for item in items(models) {
        let facts = &mut reading.facts;
        facts.more_runs = facts.more_runs.saturating_add(is_run.into());
        let known = facts.models.len();
        match model(item) {
            // Anthropic's `default` lets the provider choose.
            Ok(name) if !(is_run && name == "default") => facts.add_model(&name),
            Ok(_) => facts.any_model = true,
            Err(_) => {
                let is_object = read_object(reading, "a fallback", [FALLBACK, &[]], item)?;
                // LiteLLM's form has the names as keys.
                reading.facts.any_model |= !is_object || reading.facts.models.len() == known;
            }
        }
    }
    Ok(())
}
