use std::time::SystemTime;

use tokio::time::{Instant, sleep};

use super::*;
use crate::cost::ledger_state::{LedgerState, Month, OpenReservation};
use crate::runtime::BoxFuture;
use crate::{Error, ErrorKind};

/// A remote ledger: each request and each response is delayed, and can be lost.
#[derive(Clone)]
struct RemoteLedger(Arc<Mutex<World>>);

struct World {
    state: LedgerState,
    random: fastrand::Rng,
    /// How many percent of the messages are lost.
    loss_percent: u32,
    /// The start of the simulation, by the wall clock and by the virtual clock.
    begin: (SystemTime, Instant),
}

impl World {
    fn now(&self) -> SystemTime {
        self.begin.0 + self.begin.1.elapsed()
    }
}

impl RemoteLedger {
    fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.0.lock().unwrap();
        let now = world.now();
        world.state.expire(now);
        f(&mut world)
    }

    fn random<T>(&self, f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        f(&mut self.0.lock().unwrap().random)
    }

    /// Delivers a message in one direction.
    async fn transmit(&self) -> Result<()> {
        let (ms, lost) = {
            let mut world = self.0.lock().unwrap();
            let loss_percent = world.loss_percent;
            (
                world.random.u64(0..40),
                world.random.u32(0..100) < loss_percent,
            )
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
            world.state.state(budget, now)
        })
    }
}

impl Ledger for RemoteLedger {
    fn reserve<'a>(
        &'a self,
        id: u64,
        budgets: &'a [Budget],
        amount: Usd,
    ) -> BoxFuture<'a, Result<Result<(), BudgetExceeded>>> {
        Box::pin(async move {
            self.transmit().await?;
            let reserved = self.with(|world| {
                let now = world.now();
                if world.state.check(id, budgets, amount, now)? {
                    world
                        .state
                        .open(id, OpenReservation::new(budgets, amount, now));
                }
                Ok(())
            });
            self.transmit().await?;
            Ok(reserved)
        })
    }

    fn settle(&self, id: u64, amount: Usd) -> Settlement {
        let ledger = self.clone();
        Settlement::Pending(Box::pin(async move {
            ledger.transmit().await?;
            let spent = ledger.with(|world| {
                let now = world.now();
                world.state.settle(id, amount, now)
            });
            ledger.transmit().await?;
            Ok(spent.unwrap_or_default())
        }))
    }

    fn state<'a>(&'a self, budget: &'a str) -> BoxFuture<'a, Result<(Usd, Usd)>> {
        Box::pin(async move { Ok(RemoteLedger::state(self, budget)) })
    }
}

/// The minimum and the maximum that a call can have cost.
type CostRange = (Usd, Usd);

async fn call(
    ledger: RemoteLedger,
    outbox: Outbox,
    id: u64,
    budget: Budget,
    fail_open: bool,
) -> CostRange {
    let budgets = [budget];
    let (start, amount, crashes, gives_up, duration) = ledger.random(|random| {
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
        // The caller cancels while the ledger reserves.
        true => tokio::time::timeout(Duration::from_millis(20), reserve)
            .await
            .ok(),
        false => Some(reserve.await),
    };
    let unreserved = match reserved {
        Some(Ok(Ok(()))) => false,
        Some(Ok(Err(_))) => return (Usd::ZERO, Usd::ZERO),
        Some(Err(_)) if fail_open => {
            outbox.proceed_unreserved();
            true
        }
        _ => {
            outbox.release(id);
            // If the release is lost too, the reservation expires and counts as spent.
            return (Usd::ZERO, amount);
        }
    };
    sleep(Duration::from_millis(duration)).await;
    if crashes && !unreserved {
        // A process that has crashed neither settles nor flushes.
        outbox.shared().close();
        return (amount, amount);
    }
    let cost = Usd::from_pico(ledger.random(|random| random.u64(0..=amount.pico())));
    outbox.settle(id, cost, unreserved.then_some(&budgets), |_| ());
    (cost, cost)
}

async fn history(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let limit = Usd::from_pico(random.u64(100..3000));
    let budget = Budget::monthly("shared", limit).unwrap();
    let fail_open = seed.is_multiple_of(4);
    // Most histories begin in the middle of a month, some in its last seconds.
    let seconds_left = if seed.is_multiple_of(5) {
        random.u64(0..5)
    } else {
        1_000_000
    };
    let end_of_month = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
    let begin = end_of_month - Duration::from_secs(seconds_left);
    let loss_percent = random.u32(0..40);
    let calls = random.u64(1..40);
    let ledger = RemoteLedger(Arc::new(Mutex::new(World {
        state: LedgerState::default(),
        random,
        loss_percent,
        begin: (begin, Instant::now()),
    })));
    // Two outboxes stand for two processes.
    let outboxes = [(); 2].map(|()| Outbox::new(ledger.clone()));
    let calls: Vec<_> = (0..calls)
        .map(|id| {
            let outbox = outboxes[id as usize % 2].clone();
            tokio::spawn(call(ledger.clone(), outbox, id, budget.clone(), fail_open))
        })
        .collect();
    let mut costs = (Usd::ZERO, Usd::ZERO);
    for call in calls {
        let (least, most) = call.await.unwrap();
        costs = (costs.0 + least, costs.1 + most);
        let (spent, reserved) = ledger.state("shared");
        assert!(
            fail_open || spent + reserved <= limit,
            "seed {seed}: {spent} + {reserved}"
        );
    }
    // Without loss, everything can be delivered. After that, the remaining reservations expire.
    ledger.with(|world| world.loss_percent = 0);
    for outbox in &outboxes {
        // A flush that is cancelled loses nothing.
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
    let (now, open) = ledger.with(|world| (world.now(), world.state.all_open().count()));
    assert_eq!(open, 0, "seed {seed}");
    let (spent, reserved) = ledger.state("shared");
    assert_eq!(reserved, Usd::ZERO, "seed {seed}");
    // A call that spans the turn of a month belongs to the first month.
    if Month::at(now) == Month::at(begin) {
        let (least, most) = costs;
        assert!(
            least <= spent && spent <= most,
            "seed {seed}: {spent} of {least} to {most}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_cost_reaches_a_remote_ledger_once_whatever_messages_are_lost() {
    for seed in 0..1000 {
        history(seed).await;
    }
}
