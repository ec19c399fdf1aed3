//! A ledger behind a network that loses messages, and that checks its own books.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::time::sleep;

use super::network::Random;
use crate::runtime::BoxFuture;
use crate::{
    Budget, BudgetExceeded, Error, ErrorKind, Ledger, MemoryLedger, Result, Settlement, Usd,
};

/// A ledger that several clients share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SharedLedger(Arc<Inner>);

struct Inner {
    books: MemoryLedger,
    random: Random,
    /// How many percent of the messages in either direction are lost.
    loss: AtomicU32,
    /// The longest delay of a message, in milliseconds. With 0, the ledger answers at once.
    delay: u64,
}

impl SharedLedger {
    pub(crate) fn new(random: Random, loss: u32, delay: u64) -> Self {
        Self(Arc::new(Inner {
            books: MemoryLedger::default(),
            random,
            loss: AtomicU32::new(loss),
            delay,
        }))
    }

    /// Makes the network deliver every message from here on.
    pub(crate) fn repair(&self) {
        self.0.loss.store(0, Relaxed);
    }

    async fn transmit(&self) -> Result<()> {
        sleep(self.0.random.millis(0..self.0.delay + 1)).await;
        match self.0.random.chance(self.0.loss.load(Relaxed)) {
            true => Err(Error::new(ErrorKind::Connect, "the message was lost")),
            false => Ok(()),
        }
    }

    /// Checks that no budget is overspent.
    async fn check(&self, budgets: &[Budget]) {
        for Budget { name, limit } in budgets {
            let (spent, reserved) = self.0.books.state(name).await.unwrap();
            assert!(
                spent + reserved <= *limit,
                "{spent} spent and {reserved} reserved of {limit}"
            );
        }
    }
}

impl Ledger for SharedLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        Box::pin(async move {
            if self.0.delay == 0 {
                let reserved = self.0.books.reserve(id, budgets, amount).await;
                self.check(budgets).await;
                return reserved;
            }
            self.transmit().await?;
            let reserved = self.0.books.reserve(id, budgets, amount).await?;
            self.check(budgets).await;
            self.transmit().await?;
            Ok(reserved)
        })
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        if self.0.delay == 0 {
            return self.0.books.settle(id, amount);
        }
        let ledger = self.clone();
        Settlement::Pending(Box::pin(async move {
            ledger.transmit().await?;
            let settled = match ledger.0.books.settle(id, amount) {
                Settlement::Done(settled) => settled,
                Settlement::Pending(settled) => settled.await,
            };
            ledger.transmit().await?;
            settled
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        self.0.books.state(budget)
    }
}
