//! The answer of the simulated model, which depends on the request alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::schema::example;

/// A request, independent of the dialect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) model: String,
    /// The last text of the user.
    pub(crate) text: String,
    /// The results of tools in the last turn.
    pub(crate) tool_results: Vec<String>,
    /// What is known of each picture in the last turn, such as its size.
    pub(crate) pictures: Vec<String>,
    pub(crate) documents: usize,
    /// The name and the argument schema of each tool.
    pub(crate) tools: Vec<(String, Value)>,
    pub(crate) must_use_tool: bool,
    pub(crate) may_use_tools: bool,
    pub(crate) one_tool: Option<String>,
    pub(crate) schema: Option<Value>,
    /// Whether the reply must be a JSON object.
    pub(crate) json_object: bool,
    pub(crate) max_tokens: Option<u64>,
    /// How many more replies than one are asked for.
    pub(crate) more_replies: usize,
    pub(crate) stop: Vec<String>,
    pub(crate) thinks: bool,
    /// Whether the reply shows a summary of its reasoning, and whether it holds the reasoning encrypted (Responses API).
    pub(crate) shows_reasoning: bool,
    pub(crate) encrypts_reasoning: bool,
    /// The items of the conversation, if the reply is to be stored (Responses API).
    pub(crate) stored_items: Option<Vec<Value>>,
    pub(crate) stream: bool,
    pub(crate) input_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) cache_written_tokens: u64,
    pub(crate) hash: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) hash: u64,
    pub(crate) model: String,
    pub(crate) reasoning: Vec<String>,
    /// The text, token by token.
    pub(crate) text: Vec<String>,
    /// The id, the name and the arguments of each tool call.
    pub(crate) calls: Vec<(String, String, String)>,
    /// One of Anthropic's values.
    pub(crate) stop_reason: &'static str,
    pub(crate) stop_sequence: Option<String>,
    pub(crate) prompt: Prompt,
}

impl Answer {
    pub(crate) fn output_tokens(&self) -> u64 {
        let calls: usize = self
            .calls
            .iter()
            .map(|(_, name, arguments)| 8 + (name.len() + arguments.len()) / 4)
            .sum();
        let one = (self.text.len() + self.reasoning.len() + calls) as u64;
        one * (1 + self.prompt.more_replies as u64)
    }
}

pub(crate) fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// About as many tokens as a real tokenizer counts.
pub(crate) fn count(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

pub(crate) fn answer(prompt: Prompt, scenario: &Scenario) -> Answer {
    let reasoning = if prompt.thinks {
        words(
            "The user asks something of a simulated model. There is nothing to find out, so I say so.",
        )
    } else {
        Vec::new()
    };
    let calls = calls(&prompt);
    let text = match (&prompt.schema, scenario.tokens, scenario.huge) {
        _ if !calls.is_empty() => "I will look that up. ".to_owned(),
        (_, _, Some(bytes)) => "x".repeat(bytes),
        (_, Some(tokens), _) => (0..tokens)
            .map(|i| format!("{} ", WORDS[i % WORDS.len()]))
            .collect(),
        (Some(schema), ..) => example(schema, "").to_string(),
        _ if prompt.json_object => json!({"answer": plain(&prompt)}).to_string(),
        _ => plain(&prompt),
    };
    let mut answer = Answer {
        hash: prompt.hash,
        model: prompt.model.clone(),
        reasoning,
        text: words(&text),
        stop_reason: if calls.is_empty() {
            "end_turn"
        } else {
            "tool_use"
        },
        calls,
        stop_sequence: None,
        prompt,
    };
    stop_early(&mut answer);
    answer
}

const WORDS: [&str; 12] = [
    "warm",
    "connections",
    "answer",
    "sooner",
    "than",
    "cold",
    "ones,",
    "and",
    "cost",
    "less",
    "to",
    "keep.",
];

fn plain(prompt: &Prompt) -> String {
    let mut text = String::new();
    if !prompt.tool_results.is_empty() {
        text.push_str(&format!(
            "The tool says: {}. ",
            prompt.tool_results.join("; ")
        ));
    }
    let given = given(prompt);
    if !given.is_empty() {
        text.push_str(&format!("I see {}. ", given.join(" and ")));
    }
    let asked: String = prompt.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !asked.is_empty() {
        let shown: String = asked.chars().take(200).collect();
        text.push_str(&format!("You said: “{shown}” "));
    }
    text.push_str(
        "I am a simulated model on your own machine: no key was used, nothing was sent anywhere, and what I say \
         depends on nothing but what you ask. Set a provider's key to talk to a real one.",
    );
    text
}

/// The pictures and the documents of the last turn.
fn given(prompt: &Prompt) -> Vec<String> {
    let of = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {one}s")),
    };
    let known = || format!(" ({})", prompt.pictures.join("; "));
    let pictures = of(prompt.pictures.len(), "picture").map(|count| count + &known());
    pictures
        .into_iter()
        .chain(of(prompt.documents, "document"))
        .collect()
}

/// Calls each tool that the prompt allows. Unless it must use one, it calls none if the last turn has results, or has pictures or documents,
/// which it is then asked about.
fn calls(prompt: &Prompt) -> Vec<(String, String, String)> {
    let answers = !prompt.tool_results.is_empty() || !given(prompt).is_empty();
    if !prompt.may_use_tools || (answers && !prompt.must_use_tool) {
        return Vec::new();
    }
    let wanted = |name: &String| prompt.one_tool.as_ref().is_none_or(|one| one == name);
    let tools = prompt
        .tools
        .iter()
        .filter(|(name, _)| wanted(name))
        .enumerate();
    tools
        .map(|(i, (name, schema))| {
            let id = format!("call_{:08x}{i:02}", prompt.hash as u32);
            (id, name.clone(), example(schema, &prompt.text).to_string())
        })
        .collect()
}

/// The words, each with the space after it. A word is a token.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn stop_early(answer: &mut Answer) {
    let whole = answer.text.concat();
    let first = answer
        .prompt
        .stop
        .iter()
        .filter_map(|stop| whole.find(stop.as_str()).map(|at| (at, stop)))
        .min();
    if let Some((at, stop)) = first {
        answer.stop_sequence = Some(stop.clone());
        answer.text = words(&whole[..at]);
        answer.stop_reason = "stop_sequence";
        answer.calls.clear();
    }
    if let Some(max) = answer
        .prompt
        .max_tokens
        .and_then(|max| usize::try_from(max).ok())
        && answer.text.len() + answer.reasoning.len() > max
    {
        answer.reasoning.truncate(max);
        answer.text.truncate(max - answer.reasoning.len());
        answer.calls.clear();
        answer.stop_reason = "max_tokens";
        answer.stop_sequence = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_a_picture_is_answered_without_a_tool_unless_one_must_be_used() {
        let mut prompt = Prompt {
            text: "What is this?".into(),
            pictures: vec!["image/png, 1 × 1 pixels".into()],
            tools: vec![("clock".into(), json!({"type": "object"}))],
            may_use_tools: true,
            ..Prompt::default()
        };
        let given = answer(prompt.clone(), &Scenario::default());
        assert!(given.calls.is_empty());
        let text = given.text.concat();
        let expected = "I see 1 picture (image/png, 1 × 1 pixels). You said: “What is this?”";
        assert!(text.starts_with(expected), "{text}");
        prompt.must_use_tool = true;
        let given = answer(prompt.clone(), &Scenario::default());
        assert_eq!(given.calls.len(), 1);
        prompt.must_use_tool = false;
        prompt.pictures.clear();
        assert_eq!(answer(prompt, &Scenario::default()).calls.len(), 1);
    }
}
