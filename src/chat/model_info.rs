use serde::Serialize;

use super::raw_json::RawJson;

/// A model that a provider offers, as [`Client::models`](crate::Client::models) lists it.
///
/// ```no_run
/// # async fn demo(client: warmline::Client) -> warmline::Result<()> {
/// for model in client.models().await? {
///     println!("{} ({})", model.id, model.display_name.as_deref().unwrap_or("no name"));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name by which requests ask for it.
    pub id: String,
    /// A name for people, if the provider gives one.
    pub display_name: Option<String>,
    /// When it was created, in seconds since 1970 (UTC), if the provider says so.
    pub created: Option<u64>,
    /// Who owns it, if the provider says so, such as `openai` or `system`.
    pub owned_by: Option<String>,
    /// Everything that the provider says about it.
    pub raw: RawJson,
}

impl ModelInfo {
    /// Creates an entry that has only an ID, for tests and mock clients.
    ///
    /// ```
    /// let model = warmline::ModelInfo::new("claude-sonnet-4-5");
    /// assert_eq!(model.raw.as_str(), r#"{"id":"claude-sonnet-4-5"}"#);
    /// ```
    pub fn new(id: impl Into<String>) -> Self {
        #[derive(Serialize)]
        struct Raw<'a> {
            id: &'a str,
        }
        let id = id.into();
        Self {
            raw: RawJson::written(&Raw { id: &id }),
            id,
            display_name: None,
            created: None,
            owned_by: None,
        }
    }
}
