use std::time::SystemTime;

use tokio::time::{Instant, sleep};

use super::*;
use crate::cost::ledger_state::{LedgerState, Month, OpenReservation};
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
