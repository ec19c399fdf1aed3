use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Limits;

/// What a client's connections are doing, at one instant. Reading it takes no lock.
///
/// Where the runtime owns the connections (WebAssembly), what cannot be known is `None`.
///
/// ```
/// # fn demo(client: warmline::Client) {
/// println!("{}", client.stats());
/// // Requests: 1 active, 0 queued | Connections: 1 active, 0 idle, 0 connecting
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// The limits in force.
    pub limits: Option<Limits>,
    /// Calls that hold a connection. With HTTP/2 several share one.
    pub active: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Sockets open in any state: connecting, in use, idle, or being closed.
    pub open: Option<usize>,
    /// Sockets that are being connected.
    pub connecting: Option<usize>,
    /// Connections that calls hold.
    pub in_use: Option<usize>,
    /// Connections kept warm for the next call.
    pub idle: Option<usize>,
    /// The most sockets that were ever open at once; calls at once where sockets are not known.
    pub peak: usize,
    /// Connections made since the start.
    pub opened: Option<u64>,
    /// Connections closed since the start.
    pub closed: Option<u64>,
    /// Calls that were served by a connection that was already open.
    pub reused: Option<u64>,
    /// Calls that found the pool exhausted and had to wait.
    pub acquire_waits: Option<u64>,
    /// How many [`PoolAlert`](crate::PoolAlert)s were given.
    pub alerts: Option<u64>,
    /// How long calls waited for a place, those that did not wait included.
    pub acquire_wait: Histogram,
    /// How long connections took to make: name resolution, TCP, TLS and proxy together.
    pub handshake: Option<Histogram>,
}

impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Requests: {} active, {} queued",
            self.active, self.waiting
        )?;
        if let (Some(in_use), Some(idle), Some(connecting)) =
            (self.in_use, self.idle, self.connecting)
        {
            write!(
                f,
                " | Connections: {in_use} active, {idle} idle, {connecting} connecting"
            )?;
        }
        Ok(())
    }
}

/// A distribution of durations, in buckets whose bounds double from 1 µs. Its JSON form has the count,
/// the sum and three quantiles.
///
/// ```
/// # fn demo(client: warmline::Client) {
/// let wait = client.stats().wait;
/// println!("{} calls, 99 % of which waited at most {:?}", wait.count, wait.quantile(0.99));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many durations were recorded.
    pub count: u64,
    /// Their sum, in microseconds.
    pub sum_us: u64,
    /// How many lie in each bucket: bucket `i` holds those below 2ⁱ µs that the ones before do not.
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// A duration that a share `q` (0 to 1) of those recorded do not pass: the bound of its bucket,
    /// so at most twice the true one. Zero where nothing was recorded.
    ///
    /// ```
    /// assert!(warmline::Histogram::default().quantile(0.5).is_zero());
    /// ```
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return Duration::from_micros(if i == 0 { 0 } else { 1 << i });
            }
        }
        Duration::ZERO
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Histogram", 5)?;
        map.serialize_field("count", &self.count)?;
        map.serialize_field("sum_us", &self.sum_us)?;
        for (name, q) in [("p50_us", 0.5), ("p95_us", 0.95), ("p99_us", 0.99)] {
            map.serialize_field(name, &(self.quantile(q).as_micros() as u64))?;
        }
        map.end()
    }
}
