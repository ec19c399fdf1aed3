//! The way to a ledger: what calls put aside and come to, kept until the ledger has heard of it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::{Budget, BudgetExceeded, Ledger, Settlement, Usd};
use crate::Result;
use crate::runtime::{self, MaybeSend};

/// How long the last of its holders waits for settlements on their way.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Cheap to clone. The last clone to be dropped waits a while, so that a process that ends in good order loses nothing.
#[derive(Clone)]
pub(super) struct Outbox(Arc<Holder>);

struct Holder(Arc<Shared>);

struct Shared {
    ledger: Arc<dyn Ledger>,
    /// Reservations of whose end the ledger has not heard.
    open: AtomicUsize,
    /// Ends that it could not be told.
    undelivered: Mutex<Vec<PendingSettlement>>,
    retrying: AtomicBool,
    flushing: Mutex<Vec<Waker>>,
}

/// How a reservation ends.
struct PendingSettlement {
    id: u64,
    amount: Usd,
    /// Where the ledger could not be reached to reserve it, the budgets that owe it.
    charge_to: Option<Vec<Budget>>,
}

impl Outbox {
    pub(super) fn new(ledger: impl Ledger + 'static) -> Self {
        Self(Arc::new(Holder(Arc::new(Shared {
            ledger: Arc::new(ledger),
            open: AtomicUsize::new(0),
            undelivered: Mutex::default(),
            retrying: AtomicBool::new(false),
            flushing: Mutex::default(),
        }))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    pub(super) async fn reserve(
        &self,
        id: u64,
        budgets: &[Budget],
        amount: Usd,
    ) -> Result<Result<(), BudgetExceeded>> {
        let shared = self.shared();
        let reserved = shared.ledger.reserve(id, budgets, amount).await?;
        if reserved.is_ok() {
            shared.open.fetch_add(1, Ordering::Relaxed);
        }
        // It answers: it can be told what it could not be before.
        shared.retry_later();
        Ok(reserved)
    }

    /// A call goes ahead without a reservation; what it comes to will be owed.
    pub(super) fn proceed_unreserved(&self) {
        self.shared().open.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes a reservation of which it is not known whether it was made.
    pub(super) fn release(&self, id: u64) {
        // If that fails too, its lease ends by itself.
        if let Settlement::Pending(given_back) = self.shared().ledger.settle(id, Usd::ZERO) {
            runtime::background(async move { drop(given_back.await) });
        }
    }

    /// Ends a reservation, or with `charge_to` what was begun without one. `told` hears what is then spent of each budget.
    pub(super) fn settle(
        &self,
        id: u64,
        amount: Usd,
        charge_to: Option<&[Budget]>,
        told: impl FnOnce(&[Usd]) + MaybeSend + 'static,
    ) {
        let shared = self.shared();
        let charge_to = charge_to.map(<[Budget]>::to_vec);
        let end = PendingSettlement {
            id,
            amount,
            charge_to,
        };
        let later = match end.charge_to {
            Some(_) => None,
            None => match shared.ledger.settle(id, amount) {
                Settlement::Done(spent) => return shared.arrived(end, spent, told),
                Settlement::Pending(spent) => Some(spent),
            },
        };
        let (shared, mut end) = (shared.clone(), end);
        runtime::background(async move {
            let spent = match later {
                Some(spent) => spent.await,
                None => shared.tell(&mut end).await,
            };
            shared.arrived(end, spent, told);
        });
    }

    pub(super) async fn state(&self, budget: &str) -> Result<(Usd, Usd)> {
        self.shared().ledger.state(budget).await
    }

    /// What the ledger has still to be told.
    pub(super) fn unsettled(&self) -> Usd {
        self.shared()
            .undelivered()
            .iter()
            .map(|end| end.amount)
            .sum()
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let shared = self.shared();
        loop {
            shared.drained().await;
            if shared.undelivered().is_empty() {
                return Ok(());
            }
            shared.retry().await?;
        }
    }
}

impl Shared {
    fn undelivered(&self) -> MutexGuard<'_, Vec<PendingSettlement>> {
        self.undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(
        self: &Arc<Self>,
        end: PendingSettlement,
        spent: Result<Vec<Usd>>,
        told: impl FnOnce(&[Usd]),
    ) {
        match spent {
            Ok(spent) => {
                self.close();
                told(&spent);
            }
            Err(error) => {
                tracing::warn!(%error, "a call's cost has not reached its ledger yet");
                self.undelivered().push(end);
                self.wake();
                self.retry_later();
            }
        }
    }

    fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *flushing);
        drop(flushing);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Until every reservation is ended, or undelivered.
    async fn drained(&self) {
        poll_fn(|cx| {
            let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
            match self.open.load(Ordering::Relaxed) <= self.undelivered().len() {
                true => Poll::Ready(()),
                false => {
                    flushing.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Tells the ledger an end. What fails here can be done again: an end that was owed is by then one that is reserved, if it
    /// came so far, and to reserve or to settle twice is as once.
    async fn tell(&self, end: &mut PendingSettlement) -> Result<Vec<Usd>> {
        if let Some(budgets) = &mut end.charge_to {
            // It is spent, whatever the limit.
            let most = Usd::from_pico(u64::MAX);
            budgets.iter_mut().for_each(|budget| budget.limit = most);
            // A denied is a sum that no number can hold.
            let _ = self.ledger.reserve(end.id, budgets, end.amount).await?;
            end.charge_to = None;
        }
        match self.ledger.settle(end.id, end.amount) {
            Settlement::Done(spent) => spent,
            Settlement::Pending(spent) => spent.await,
        }
    }

    /// Tells the ledger once more what is undelivered, until it fails again.
    async fn retry(&self) -> Result<()> {
        loop {
            // Nobody else tells it meanwhile.
            let end = self.undelivered().pop();
            let mut telling = UndeliveredGuard { shared: self, end };
            let Some(end) = &mut telling.end else {
                return Ok(());
            };
            self.tell(end).await?;
            telling.end = None;
            self.close();
        }
    }

    /// Tries again in the background, ever more slowly, and in the end not before the ledger is heard of again.
    fn retry_later(self: &Arc<Self>) {
        if self.undelivered().is_empty() || self.retrying.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = self.clone();
        runtime::background(async move {
            for n in 0..8 {
                runtime::sleep(Duration::from_millis(100 << n)).await;
                if shared.retry().await.is_ok() {
                    break;
                }
            }
            shared.retrying.store(false, Ordering::Relaxed);
        });
    }
}

/// An end that is being told. It is undelivered again where that fails, or whoever waited for it goes away.
struct UndeliveredGuard<'a> {
    shared: &'a Shared,
    end: Option<PendingSettlement>,
}

impl Drop for UndeliveredGuard<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            self.shared.undelivered().push(end);
            self.shared.wake();
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let shared = self.0.clone();
        if shared.open.load(Ordering::Relaxed) > shared.undelivered().len() {
            runtime::wait_for(async move { shared.drained().await }, LAST_WAIT);
        }
        let undelivered = self.0.undelivered().len();
        if undelivered > 0 {
            tracing::error!(
                calls = undelivered,
                "the ledger was never told what these cost; what they had put aside counts as spent"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::cost::books::{LedgerState, Month, OpenReservation};
    use crate::runtime::BoxFuture;
    use crate::{Error, ErrorKind};

    /// Ledgers on another machine, as the network shows one: what is asked and what is answered takes its time, and can be lost.
    #[derive(Clone)]
    struct Model(Arc<Mutex<World>>);

    struct World {
        books: LedgerState,
        random: fastrand::Rng,
        /// How many of 100 messages are lost.
        lossy: u32,
        /// When the simulation begins, which is the time where its clock stands still.
        begin: (SystemTime, Instant),
    }

    impl World {
        fn now(&self) -> SystemTime {
            self.begin.0 + self.begin.1.elapsed()
        }
    }

    impl Model {
        fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
            let mut world = self.0.lock().unwrap();
            let now = world.now();
            world.books.expire(now);
            f(&mut world)
        }

        fn random<T>(&self, f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
            f(&mut self.0.lock().unwrap().random)
        }

        /// A message on its way, one way.
        async fn travel(&self) -> Result<()> {
            let (ms, lost) = {
                let mut world = self.0.lock().unwrap();
                let lossy = world.lossy;
                (world.random.u64(0..40), world.random.u32(0..100) < lossy)
            };
            sleep(Duration::from_millis(ms)).await;
            match lost {
                true => Err(Error::new(ErrorKind::Connect, "lost")),
                false => Ok(()),
            }
        }

        fn state(&self, budget: &str) -> (Usd, Usd) {
            self.with(|world| {
                let now = world.now();
                world.books.state(budget, now)
            })
        }
    }

    impl Ledger for Model {
        fn reserve<'a>(
            &'a self,
            id: u64,
            budgets: &'a [Budget],
            amount: Usd,
        ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
            Box::pin(async move {
                self.travel().await?;
                let reserved = self.with(|world| {
                    let now = world.now();
                    if world.books.check(id, budgets, amount, now)? {
                        world
                            .books
                            .open(id, OpenReservation::new(budgets, amount, now));
                    }
                    Ok(())
                });
                self.travel().await?;
                Ok(reserved)
            })
        }

        fn settle(&self, id: u64, amount: Usd) -> Settlement {
            let model = self.clone();
            Settlement::Pending(Box::pin(async move {
                model.travel().await?;
                let spent = model.with(|world| {
                    let now = world.now();
                    world.books.settle(id, amount, now)
                });
                model.travel().await?;
                Ok(spent.unwrap_or_default())
            }))
        }

        fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
            Box::pin(async move { Ok(Model::state(self, budget)) })
        }
    }

    /// What a call came to, for the reckoning: at least and at most.
    type Cost = (Usd, Usd);

    async fn call(model: Model, outbox: Outbox, id: u64, budget: Budget, fail_open: bool) -> Cost {
        let budgets = [budget];
        let (start, amount, crashes, gives_up, lasts) = model.random(|random| {
            let amount = Usd::from_pico(random.u64(0..200));
            let (crashes, gives_up) = (random.u8(0..10) == 0, random.u8(0..10) == 0);
            (
                random.u64(0..3000),
                amount,
                crashes,
                gives_up,
                random.u64(0..2000),
            )
        });
        sleep(Duration::from_millis(start)).await;
        let reserve = outbox.reserve(id, &budgets, amount);
        let reserved = match gives_up {
            // The caller goes away while the ledger is asked.
            true => tokio::time::timeout(Duration::from_millis(20), reserve)
                .await
                .ok(),
            false => Some(reserve.await),
        };
        let owes = match reserved {
            Some(Ok(Ok(()))) => false,
            Some(Ok(Err(_))) => return (Usd::ZERO, Usd::ZERO),
            Some(Err(_)) if fail_open => {
                outbox.proceed_unreserved();
                true
            }
            _ => {
                outbox.release(id);
                // If that is lost too, its lease ends as spent.
                return (Usd::ZERO, amount);
            }
        };
        sleep(Duration::from_millis(lasts)).await;
        if crashes && !owes {
            // Nobody is left to settle, nor to flush.
            outbox.shared().close();
            return (amount, amount);
        }
        let cost = Usd::from_pico(model.random(|random| random.u64(0..=amount.pico())));
        outbox.settle(id, cost, owes.then_some(&budgets), |_| ());
        (cost, cost)
    }

    async fn history(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let limit = Usd::from_pico(random.u64(100..3000));
        let budget = Budget::monthly("shared", limit).unwrap();
        let fail_open = seed.is_multiple_of(4);
        // Most begin in the middle of a month, some in its last seconds.
        let before_its_end = if seed.is_multiple_of(5) {
            random.u64(0..5)
        } else {
            1_000_000
        };
        let end_of_month = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
        let begin = end_of_month - Duration::from_secs(before_its_end);
        let lossy = random.u32(0..40);
        let calls = random.u64(1..40);
        let model = Model(Arc::new(Mutex::new(World {
            books: LedgerState::default(),
            random,
            lossy,
            begin: (begin, Instant::now()),
        })));
        // Two processes.
        let outboxes = [(); 2].map(|()| Outbox::new(model.clone()));
        let calls: Vec<_> = (0..calls)
            .map(|id| {
                let outbox = outboxes[id as usize % 2].clone();
                tokio::spawn(call(model.clone(), outbox, id, budget.clone(), fail_open))
            })
            .collect();
        let mut costs = (Usd::ZERO, Usd::ZERO);
        for call in calls {
            let (least, most) = call.await.unwrap();
            costs = (costs.0 + least, costs.1 + most);
            let (spent, reserved) = model.state("shared");
            assert!(
                fail_open || spent + reserved <= limit,
                "seed {seed}: {spent} + {reserved}"
            );
        }
        // The network mends, so that everything that is left can be told; then all leases end.
        model.with(|world| world.lossy = 0);
        for outbox in &outboxes {
            // Who waits may lose patience, and nothing is lost by it.
            let _ = tokio::time::timeout(Duration::from_millis(10), outbox.flush()).await;
            outbox.flush().await.unwrap();
            assert_eq!(outbox.unsettled(), Usd::ZERO, "seed {seed}");
            assert_eq!(
                outbox.shared().open.load(Ordering::Relaxed),
                0,
                "seed {seed}"
            );
        }
        sleep(Duration::from_secs(3601)).await;
        let (now, open) = model.with(|world| (world.now(), world.books.all_open().count()));
        assert_eq!(open, 0, "seed {seed}");
        let (spent, reserved) = model.state("shared");
        assert_eq!(reserved, Usd::ZERO, "seed {seed}");
        // One that spans the turn of a month belongs to the first, whose sums are gone by then.
        if Month::of(now) == Month::of(begin) {
            let (least, most) = costs;
            assert!(
                least <= spent && spent <= most,
                "seed {seed}: {spent} of {least} to {most}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_far_away_is_told_everything_once_whatever_is_lost_on_the_way() {
        for seed in 0..1000 {
            history(seed).await;
        }
    }
}
