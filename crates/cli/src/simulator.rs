//! The simulated provider, in this process.

use warmline::ClientBuilder;

use crate::report::Failure;

#[cfg(feature = "simulator")]
pub(crate) use with_simulator::Simulator;
#[cfg(not(feature = "simulator"))]
pub(crate) use without_simulator::Simulator;

#[cfg(feature = "simulator")]
mod with_simulator {
    use std::time::Duration;

    use warmline::DialectName;
    use warmline_sim::{Config, Sim};

    use super::{ClientBuilder, Failure};

    /// The time per token, about that of a real model.
    const TIME_PER_TOKEN: Duration = Duration::from_millis(15);

    /// A simulated provider that is running. It stops when this is dropped.
    pub(crate) struct Simulator(Sim);

    impl Simulator {
        /// Starts a provider that writes about as fast as a real model.
        pub(crate) async fn start() -> Result<Self, Failure> {
            let config = Config {
                pace: TIME_PER_TOKEN,
                ..Config::default()
            };
            Self::start_with(config).await
        }

        pub(crate) async fn start_with(config: Config) -> Result<Self, Failure> {
            let sim = Sim::start(config).await;
            sim.map(Self)
                .map_err(|e| Failure::Other(format!("the simulated provider cannot start: {e}")))
        }

        pub(crate) fn url(&self) -> String {
            self.0.url()
        }

        /// Makes clients call this provider.
        pub(crate) fn redirect(&self, builder: ClientBuilder) -> ClientBuilder {
            let key = "simulated";
            let builder = match builder.provider().dialect_name() {
                DialectName::Anthropic => builder.api_key(key).base_url(self.0.anthropic_url()),
                // Some providers send a key in a header that the simulator does not know.
                _ => builder.bearer_token(key).base_url(self.0.openai_url()),
            };
            let builder = builder.no_proxy();
            match self.0.certificate() {
                Some(certificate) => builder.root_certificate(certificate),
                None => builder,
            }
        }
    }
}

#[cfg(not(feature = "simulator"))]
mod without_simulator {
    use super::{ClientBuilder, Failure};

    /// This build has no simulated provider, so there is no value of this type.
    pub(crate) enum Simulator {}

    #[expect(clippy::unused_async, reason = "as with the simulator")]
    impl Simulator {
        pub(crate) async fn start() -> Result<Self, Failure> {
            let message = "this build has no simulated provider: build it with the feature `simulator`, which is on by default";
            Err(Failure::Config(message.to_owned()))
        }

        pub(crate) fn url(&self) -> String {
            match *self {}
        }

        pub(crate) fn redirect(&self, _: ClientBuilder) -> ClientBuilder {
            match *self {}
        }
    }
}
