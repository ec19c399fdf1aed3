//! The signals that end `warmline serve`.

use tokio::sync::watch;

/// Counts Ctrl-C and SIGTERM, which service managers send.
pub(crate) struct Signals(watch::Receiver<usize>);

impl Signals {
    /// Listens from now on until the process ends.
    pub(crate) fn listen() -> Self {
        let (count, counted) = watch::channel(0);
        tokio::spawn(async move {
            #[cfg(unix)]
            let mut terminations = {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::terminate()).ok()
            };
            loop {
                #[cfg(unix)]
                let terminated = async {
                    match &mut terminations {
                        Some(signal) => drop(signal.recv().await),
                        None => std::future::pending().await,
                    }
                };
                #[cfg(not(unix))]
                let terminated = std::future::pending::<()>();
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    () = terminated => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Self(counted)
    }

    /// Waits for another signal.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + Send + use<> {
        self.nth(*self.0.borrow() + 1)
    }

    /// Waits for the nth signal.
    pub(crate) fn nth(&self, n: usize) -> impl Future<Output = ()> + Send + use<> {
        let mut counted = self.0.clone();
        async move {
            if counted.wait_for(|count| *count >= n).await.is_err() {
                std::future::pending().await
            }
        }
    }
}
