use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Limits;

/// A snapshot of a client's connection pool. Taking one needs no lock.
///
/// On WebAssembly the runtime owns the connections, and the fields that cannot be known are `None`.
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
    /// The limits of the pool.
    pub limits: Option<Limits>,
    /// The number of calls that hold a connection. With HTTP/2, several calls share one.
    pub active: usize,
    /// The number of calls that wait for a connection.
    pub waiting: usize,
    /// The number of sockets that are connecting, in use, idle or closing.
    pub open: Option<usize>,
    /// The number of sockets that are connecting.
    pub connecting: Option<usize>,
    /// The number of connections in use.
    pub in_use: Option<usize>,
    /// The number of idle connections.
    pub idle: Option<usize>,
    /// The maximum of `open` since the client was built. On WebAssembly, the maximum of `active`.
    pub peak: usize,
    /// The number of connections opened since the client was built.
    pub opened: Option<u64>,
    /// The number of connections closed since the client was built.
    pub closed: Option<u64>,
    /// The number of times a call was served by a connection that was already open.
    pub reused: Option<u64>,
    /// The number of times a call had to wait for a connection.
    pub acquire_waits: Option<u64>,
    /// The number of [`PoolAlert`](crate::PoolAlert)s raised.
    pub alerts: Option<u64>,
    /// The time that calls spent waiting for a connection. Calls that did not wait count as zero.
    pub acquire_wait: Histogram,
    /// The time that connections took to open: name resolution, TCP, TLS and proxy together.
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

/// A histogram of durations, in buckets whose bounds double from 1 µs.
///
/// The JSON form has the count, the sum and the quantiles 0.5, 0.95 and 0.99, in microseconds.
///
/// ```
/// # fn demo(client: warmline::Client) {
/// let wait = client.stats().acquire_wait;
/// println!("{} calls, 99 % of which waited at most {:?}", wait.count, wait.quantile(0.99));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The number of durations recorded.
    pub count: u64,
    /// The sum of the durations, in microseconds.
    pub sum_us: u64,
    /// The number of durations in each bucket. Bucket 0 counts those below 1 µs, and bucket `i` those from 2ⁱ⁻¹ µs to
    /// below 2ⁱ µs. The last bucket also counts all longer ones.
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// Returns an upper bound of the `q`-quantile, for `q` from 0 to 1.
    ///
    /// It is the upper bound of the quantile's bucket, so at most twice the exact value. Returns zero if nothing was recorded.
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
