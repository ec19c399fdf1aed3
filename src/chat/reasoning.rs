use serde::{Deserialize, Serialize};

use super::form;

/// How much the model reasons before it replies. Set one of the two fields.
///
/// ```
/// use warmline::{Effort, Request};
///
/// let request = Request::new().user("Prove it.").effort(Effort::High);
/// assert_eq!(request.reasoning.unwrap().effort, Some(Effort::High));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reasoning {
    /// The effort, for models that decide themselves how much to reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The maximum number of reasoning tokens: Anthropic's `thinking.budget_tokens`, at least 1,024 and less than
    /// `max_tokens`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "form::whole_number"
    )]
    pub budget_tokens: Option<u32>,
}

/// A reasoning effort. Each model supports some of these; see its provider's documentation.
///
/// ```
/// assert!(serde_json::to_string(&warmline::Effort::High).unwrap().contains("high"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Effort {
    /// No reasoning (OpenAI).
    None,
    /// The minimum (OpenAI).
    Minimal,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Extra high.
    XHigh,
    /// The maximum (Anthropic).
    Max,
}

impl Effort {
    /// Returns the effort's name in JSON.
    ///
    /// ```
    /// assert_eq!(warmline::Effort::XHigh.name(), "xhigh");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}
