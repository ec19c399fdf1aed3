//! Where a client's requests go, in which dialect, and what authorises them.

use super::builder::ClientBuilder;
use crate::provider::Setting;
use crate::{Credentials, DialectName};

impl ClientBuilder {
    /// Sets the wire format, for providers that speak several. The default is [`Provider::dialect_name`](crate::Provider::dialect_name).
    ///
    /// [`build`](Self::build) fails if the provider does not speak it; see [`Provider::dialect_names`](crate::Provider::dialect_names).
    /// [`Client::with_dialect`](crate::Client::with_dialect) makes a client of another dialect that shares the pool.
    ///
    /// ```
    /// # use warmline::{Client, DialectName, Provider};
    /// let builder = Client::builder(Provider::OpenAi).dialect(DialectName::OpenAiResponses);
    /// let error = Client::builder(Provider::Mistral).dialect(DialectName::Anthropic).build().unwrap_err();
    /// assert!(error.to_string().ends_with("does not speak the dialect anthropic: it must be openai-chat"));
    /// ```
    #[must_use]
    pub fn dialect(mut self, dialect: DialectName) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Sets the provider's key. It is not needed with a [`base_url`](Self::base_url) of a server that wants none.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::OpenAi).api_key("sk-123");
    /// assert!(!format!("{builder:?}").contains("sk-123"));
    /// ```
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.credentials = Credentials::api_key(key.into());
        self
    }

    /// Sets a token that is sent as `authorization: Bearer TOKEN`, such as one of Microsoft Entra ID to Azure. For tokens that expire
    /// there is [`Credentials::token_source`].
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::Azure).resource("my-resource").bearer_token("eyJ…");
    /// ```
    #[must_use]
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::bearer_token(token.into());
        self
    }

    /// Sets what authorises the requests, in place of a key.
    ///
    /// ```
    /// # use warmline::{AccessToken, Client, Credentials, Provider};
    /// let credentials = Credentials::token_source(|| async { Ok(AccessToken::new("ya29.…")) });
    /// let builder = Client::builder(Provider::VertexOpenAi)
    ///     .project("my-project")
    ///     .region("global")
    ///     .credentials(credentials);
    /// ```
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets the Azure resource, which is the first label of the host: `https://RESOURCE.openai.azure.com`.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let client = Client::builder(Provider::Azure)
    ///     .resource("my-resource")
    ///     .api_key("123")
    ///     .model("my-deployment")
    ///     .build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.settings.set(Setting::Resource, resource);
        self
    }

    /// Sets Azure's `api-version`. With a date, the URLs are the older ones of deployments; without, or with `preview`, those of
    /// the v1 API.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// // https://my-resource.openai.azure.com/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21
    /// let client = Client::builder(Provider::Azure)
    ///     .resource("my-resource")
    ///     .deployment("my-deployment")
    ///     .api_version("2024-10-21")
    ///     .api_key("123")
    ///     .build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.settings.set(Setting::ApiVersion, version);
        self
    }

    /// Sets the Azure deployment of URLs with a dated [`api_version`](Self::api_version). The default is the model of the request.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::Azure).deployment("my-deployment").api_version("2024-10-21");
    /// ```
    #[must_use]
    pub fn deployment(mut self, deployment: impl Into<String>) -> Self {
        self.settings.set(Setting::Deployment, deployment);
        self
    }

    /// Sets the region of Amazon Bedrock, or the location of Google Cloud.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let client = Client::builder(Provider::BedrockAnthropic)
    ///     .region("us-east-1")
    ///     .api_key("bedrock-api-key")
    ///     .model("anthropic.claude-haiku-4-5")
    ///     .build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.settings.set(Setting::Region, region);
        self
    }

    /// Sets the project of Google Cloud.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let builder = Client::builder(Provider::VertexOpenAi).project("my-project").region("global");
    /// ```
    #[must_use]
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.settings.set(Setting::Project, project);
        self
    }

    /// Sets the base URL of another server with the same API; as in the official SDKs, an OpenAI base URL ends in `/v1` and an Anthropic
    /// one does not (it may).
    ///
    /// It may have a path and a query, which are kept. The whole address of an endpoint, such as one that ends in `/chat/completions`, is
    /// used as it is.
    ///
    /// ```
    /// # use warmline::{Client, Provider};
    /// let client = Client::builder(Provider::OpenAi).base_url("http://127.0.0.1:8000/v1").build()?;
    /// # Ok::<(), warmline::Error>(())
    /// ```
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }
}
