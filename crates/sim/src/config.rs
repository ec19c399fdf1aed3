//! The settings of a simulated provider.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The settings of a simulated provider.
///
/// ```
/// use warmline_sim::Config;
/// let config = Config { tls: true, ..Config::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on. The default is 127.0.0.1.
    pub host: IpAddr,
    /// The port. The default, 0, lets the system choose one.
    pub port: u16,
    /// Whether to speak TLS, with a certificate that is made at the start: see [`Sim::certificate`](crate::Sim::certificate).
    /// The default is no.
    pub tls: bool,
    /// How long each byte travels in each direction, so that handshakes take the time that they take on a network.
    /// The default is zero.
    pub one_way_delay: Duration,
    /// How long the model takes per token, for requests whose scenario has no `pace`. The default is zero.
    pub pace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            tls: false,
            one_way_delay: Duration::ZERO,
            pace: Duration::ZERO,
        }
    }
}
