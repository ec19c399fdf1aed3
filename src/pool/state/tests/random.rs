use super::super::{Connection, Progress, Ticket};
use super::harness::{Held, Pool};

#[test]
fn the_limits_and_the_order_hold_in_random_histories() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let max = random.usize(1..6);
        let multiplexed = random.bool();
        let mut pool = Pool::new(max, random.usize(0..=max), multiplexed);
        let mut next = 0;
        // The tickets of callers who may come back.
        let mut away: Vec<u64> = Vec::new();
        for _ in 0..200 {
            let held: Vec<u64> = pool.held.keys().copied().collect();
            let open: Vec<u64> = pool.sockets.keys().copied().collect();
            match random.u8(0..12) {
                0..3 => {
                    next += 1;
                    pool.acquire(next);
                }
                3 if !away.is_empty() => {
                    let ticket = away.swap_remove(random.usize(..away.len()));
                    pool.acquire(ticket);
                }
                4 => {
                    let waiting = pool.state.waiting.keys().next_back();
                    if let Some(Ticket(ticket)) = waiting.copied() {
                        pool.leave(ticket);
                        away.push(ticket);
                    }
                }
                5..8 => {
                    let Some(ticket) = random.choice(held) else {
                        continue;
                    };
                    match pool.held[&ticket] {
                        Held::Permit(_) if random.u8(0..4) > 0 => {
                            let known = random.bool().then(|| random.usize(0..5));
                            // A server can answer an offer of HTTP/2 with HTTP/1.1.
                            let http2 = multiplexed && random.u8(0..20) > 0;
                            pool.open(ticket, http2.then_some(known));
                        }
                        Held::Permit(_) => {
                            pool.end(ticket, Progress::Unused);
                            away.push(ticket);
                        }
                        Held::Connection { .. } => {
                            let all = [Progress::Unused, Progress::Sent, Progress::Done];
                            pool.end(ticket, *random.choice(&all).unwrap());
                            away.push(ticket);
                        }
                    }
                }
                8 => {
                    // A closing socket is closed, or the server closes a connection.
                    if let Some(id) = random.choice(open) {
                        match random.bool() {
                            true => pool.closed(id),
                            false => pool.sockets[&id].0.open.set(false),
                        }
                    }
                }
                9 => {
                    if let Some(id) = random.choice(open)
                        && pool.sockets[&id].is_multiplexed()
                    {
                        pool.set_streams(id, random.usize(0..5));
                    }
                }
                10 => pool.advance(random.u64(0..20)),
                _ => {
                    for id in open {
                        pool.expire(id);
                    }
                }
            }
            pool.check_waiting();
        }
        let held: Vec<u64> = pool.held.keys().copied().collect();
        for ticket in held {
            pool.end(ticket, Progress::Done);
        }
        while let Some(ticket) = pool.held.keys().next().copied() {
            pool.end(ticket, Progress::Done);
        }
        while let Some(id) = pool.sockets.keys().next().copied() {
            pool.closed(id);
        }
        // Those who waited for the last connections have permits now.
        while let Some(ticket) = pool.held.keys().next().copied() {
            pool.end(ticket, Progress::Unused);
        }
        pool.is(&[]);
        let counts = pool.state.counts();
        assert_eq!((counts.opened, counts.active), (counts.closed, 0));
    }
}
