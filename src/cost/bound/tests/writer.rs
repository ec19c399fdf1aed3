//! Writes random requests with what servers read in different ways.

use fastrand::Rng;

use crate::Provider;

/// The names of limits of the output, with the objects in which they are.
pub(super) const LIMITS: [&[&str]; 12] = [
    &["max_tokens"],
    &["max_completion_tokens"],
    &["max_new_tokens"],
    &["max_output_tokens"],
    &["max_gen_len"],
    &["max_tokens_to_sample"],
    &["n_predict"],
    &["options", "num_predict"],
    &["generationConfig", "maxOutputTokens"],
    &["generation_config", "max_output_tokens"],
    &["inferenceConfig", "maxTokens"],
    &["extra_body", "max_tokens"],
];
pub(super) const REASONING: [&[&str]; 3] = [
    &["thinking", "budget_tokens"],
    &["reasoning", "max_tokens"],
    &["extra_body", "thinking", "budget_tokens"],
];
/// Providers with models that have different prices, one of which the list does not have.
pub(super) const MODELS: [(Provider, &[&str]); 8] = [
    (
        Provider::Anthropic,
        &[
            "claude-opus-4-8",
            "claude-haiku-5-5",
            "claude-haiku-4-5",
            "claude-x",
        ],
    ),
    (
        Provider::OpenAi,
        &[
            "gpt-5.4",
            "gpt-6-astra",
            "gpt-4.1",
            "gpt-audio",
            "gpt-4o-search-preview",
            "gpt-x",
        ],
    ),
    (Provider::Azure, &["gpt-5.5", "gpt-6-sol", "o1", "mine"]),
    (
        Provider::GeminiOpenAi,
        &["gemini-2.5-pro", "gemini-2.5-flash", "gemini-x"],
    ),
    (
        Provider::OpenRouter,
        &["openai/gpt-5.4", "gpt-4.1-nano", "a/b:online"],
    ),
    (Provider::Groq, &["openai/gpt-oss-20b", "x"]),
    (
        Provider::BedrockAnthropic,
        &["anthropic.claude-haiku-5-5", "x"],
    ),
    (Provider::XAi, &["grok-4.7", "grok-x"]),
];

/// Writes JSON with what servers read in different ways.
pub(super) struct Writer {
    pub(super) random: Rng,
    /// How often something unusual is written, in percent.
    pub(super) noise: u32,
}

impl Writer {
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.random.usize(..of.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn is_odd(&mut self) -> bool {
        let noise = self.noise;
        self.chance(noise)
    }

    /// A string, some of whose characters are escaped.
    fn string(&mut self, text: &str) -> String {
        let escape = self.chance(10);
        let mut json = String::from("\"");
        for c in text.chars() {
            match c {
                c if escape && self.chance(30) => json += &format!("\\u{:04x}", c as u32),
                '"' | '\\' => json.extend(['\\', c]),
                c => json.push(c),
            }
        }
        json + "\""
    }

    fn number(&mut self, below: u64) -> String {
        let number = self.random.u64(..below);
        if self.is_odd() {
            let odd = self.random.usize(..8);
            return [
                format!("\"{number}\""),
                format!("\"{number}.0\""),
                "-1".to_owned(),
                format!("{number}.5"),
                "true".to_owned(),
                "1e400".to_owned(),
                "1e999999999999".to_owned(),
                "[1]".to_owned(),
            ][odd]
                .clone();
        }
        match self.random.u32(..8) {
            0 => format!("{number}.0"),
            1 => format!("{number}e0"),
            2 => format!("{}e1", number / 10),
            3 => format!("{number}00E-2"),
            4 => "null".to_owned(),
            _ => number.to_string(),
        }
    }

    /// An object with these fields in some order. Names may be repeated, escaped and in another case.
    fn object(&mut self, mut fields: Vec<(String, String)>) -> String {
        if self.is_odd() && !fields.is_empty() {
            let again = self.random.usize(..fields.len());
            let (name, _) = fields[again].clone();
            let value = self.number(100_000);
            fields.push((name, value));
        }
        self.random.shuffle(&mut fields);
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(mut name, value)| {
                if self.noise > 0 && self.chance(self.noise / 4) {
                    name = name.to_uppercase();
                }
                format!("{}:{value}", self.string(&name))
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn typed(&mut self, kind: &str, rest: &[(&str, String)]) -> String {
        let mut fields = vec![("type".to_owned(), self.string(kind))];
        fields.extend(
            rest.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        self.object(fields)
    }

    fn text(&mut self) -> String {
        let length = self.random.usize(..200);
        let text: String = (0..length)
            .map(|_| self.one(&["a", " ", "é", "\"", "{", "😀"]))
            .collect();
        serde_json::to_string(&text).unwrap()
    }

    fn block(&mut self, depth: u32) -> String {
        let data = "A".repeat(self.random.usize(..9_000));
        match self.random.u32(..16) {
            0 => {
                let source = [
                    ("media_type", "\"image/png\"".to_owned()),
                    ("data", format!("\"{data}\"")),
                ];
                let source = self.typed("base64", &source);
                self.typed("image", &[("source", source)])
            }
            1 => {
                let url = format!("\"data:image/png;base64,{data}\"");
                let url = if self.chance(50) {
                    format!("{{\"url\":{url}}}")
                } else {
                    url
                };
                self.typed("image_url", &[("image_url", url)])
            }
            2 => self.typed(
                "image_url",
                &[("image_url", "{\"url\":\"https://a/b\"}".to_owned())],
            ),
            3 => {
                let kind = self.one(&["document", "file", "input_audio", "video_url", "hologram"]);
                self.typed(
                    kind,
                    &[("source", "{\"type\":\"url\",\"url\":\"u\"}".to_owned())],
                )
            }
            4 if depth < 3 => {
                let content = self.content(depth + 1);
                self.typed("tool_result", &[("content", content)])
            }
            5 => {
                let input = "{\"type\":\"image\",\"type\":\"x\",\"source\":1}".to_owned();
                self.typed("tool_use", &[("input", input)])
            }
            _ => {
                let text = self.text();
                self.typed("text", &[("text", text)])
            }
        }
    }

    fn content(&mut self, depth: u32) -> String {
        if self.chance(30) {
            return self.text();
        }
        let blocks: Vec<String> = (0..self.random.u32(..4))
            .map(|_| self.block(depth))
            .collect();
        format!("[{}]", blocks.join(","))
    }

    fn tool(&mut self) -> String {
        let schema = "{\"type\":\"object\",\"properties\":{\"type\":{},\"type\":{}}}".to_owned();
        let uses = self.number(6);
        match self.random.u32(..8) {
            0 => self.typed("web_search_20250305", &[("max_uses", uses)]),
            1 => self.typed("web_fetch_20260318", &[("max_uses", uses)]),
            2 => self.typed("code_execution_20260521", &[]),
            3 => {
                let kind = self.one(&["computer_20251124", "bash_20250124"]);
                self.typed(kind, &[])
            }
            4 => self.typed(
                "function",
                &[("function", format!("{{\"parameters\":{schema}}}"))],
            ),
            _ => self.object(vec![
                ("name".into(), "\"t\"".into()),
                ("input_schema".into(), schema),
            ]),
        }
    }

    pub(super) fn request(&mut self, models: &[&str]) -> String {
        let model = self.one(models);
        let mut fields = vec![("model".to_owned(), self.string(model))];
        let messages: Vec<String> = (0..self.random.u32(..3))
            .map(|_| {
                let content = self.content(0);
                self.object(vec![
                    ("role".into(), "\"user\"".into()),
                    ("content".into(), content),
                ])
            })
            .collect();
        fields.push(("messages".to_owned(), format!("[{}]", messages.join(","))));
        for (paths, percent) in [(&LIMITS[..2], 50), (&LIMITS[2..], 5), (&REASONING[..], 8)] {
            for path in paths {
                // Two objects of one name would be refused.
                let (last, objects) = path.split_last().unwrap();
                let is_new = objects
                    .first()
                    .is_none_or(|name| fields.iter().all(|(known, _)| known != name));
                if !is_new || !self.chance(percent) {
                    continue;
                }
                let number = self.number(80_000);
                let mut field = ((*last).to_owned(), number);
                for name in objects.iter().rev() {
                    field = ((*name).to_owned(), self.object(vec![field]));
                }
                fields.push(field);
            }
        }
        for (name, percent, below) in [("n", 20, 4), ("best_of", 5, 4)] {
            if self.chance(percent) {
                let number = self.number(below);
                fields.push((name.to_owned(), number));
            }
        }
        if self.chance(30) {
            let tools: Vec<String> = (0..self.random.u32(..3)).map(|_| self.tool()).collect();
            fields.push(("tools".to_owned(), format!("[{}]", tools.join(","))));
        }
        if self.chance(30) {
            let tier = self.one(&[
                "auto",
                "default",
                "flex",
                "priority",
                "ultrafast",
                "Priority",
                "x",
            ]);
            fields.push(("service_tier".to_owned(), self.string(tier)));
        }
        for (name, values, percent) in [
            ("speed", &["\"fast\"", "\"standard\"", "null"][..], 10),
            ("inference_geo", &["\"us\"", "\"global\"", "null"], 20),
            ("web_search_options", &["{}", "null"], 10),
            ("modalities", &["[\"text\",\"audio\"]", "[\"text\"]"], 10),
            ("prompt_cache_retention", &["\"24h\"", "\"in_memory\""], 10),
            (
                "metadata",
                &[
                    "{\"max_tokens\":1,\"max_tokens\":2}",
                    "{\"type\":\"image\"}",
                ],
                10,
            ),
            ("response_format", &["{\"type\":\"json_object\"}"], 10),
            ("cache_control", &["{\"type\":\"ephemeral\"}"], 10),
            ("stream", &["true", "false"], 50),
            ("stop", &["[[[{\"a\":[null,1e400]}]]]", "\"}\""], 10),
        ] {
            if self.chance(percent) {
                fields.push((name.to_owned(), self.one(values).to_owned()));
            }
        }
        if self.chance(10) {
            let other = self.one(models);
            fields.push(("models".to_owned(), format!("[{}]", self.string(other))));
        }
        self.object(fields)
    }
}
