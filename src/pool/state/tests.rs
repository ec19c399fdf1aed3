//! The printed state of a pool after each step, with connections in memory and a clock that the tests set.

use std::time::Duration;

use super::Progress;

mod harness;
mod random;

use self::harness::{Held, Pool};

#[test]
fn a_connection_is_kept_after_a_response_and_used_again() {
    let mut pool = Pool::new(10, 5, false);
    pool.is(&[]);
    pool.acquire(1);
    pool.is(&["#1 connecting"]);
    pool.connect(1);
    pool.is(&["#1 active, 1 request"]);
    pool.advance(2);
    pool.done(1);
    pool.is(&["#1 idle since 2s, expires at 32s, 1 request"]);
    pool.acquire(2);
    pool.is(&["#1 active, 2 requests"]);
    pool.done(2);
    pool.is(&["#1 idle since 2s, expires at 32s, 2 requests"]);
    let counts = pool.state.counts();
    assert_eq!((counts.opened, counts.reused, counts.closed), (1, 1, 0));
}

#[test]
fn the_connection_of_a_response_that_is_dropped_is_closed() {
    let mut pool = Pool::new(1, 1, false);
    pool.acquire(1);
    pool.connect(1);
    pool.acquire(2);
    pool.end(1, Progress::Sent);
    // The next connection is not opened before the socket of this one is closed.
    pool.is(&["#1 closing", "waiting: ticket 2"]);
    pool.closed(1);
    pool.is(&["#2 connecting"]);
}

#[test]
fn no_connection_is_kept_if_none_may_be_idle_or_if_it_expires_at_once() {
    let mut none = Pool::new(2, 0, false);
    let mut at_once = Pool::new(2, 2, false);
    at_once.state.limits.keepalive_expiry = Duration::ZERO;
    for pool in [&mut none, &mut at_once] {
        pool.acquire(1);
        pool.connect(1);
        pool.done(1);
        pool.is(&["#1 closing"]);
    }
}

#[test]
fn waiters_are_served_in_order_and_leave_at_once() {
    let mut pool = Pool::new(2, 2, false);
    (1..=5).for_each(|ticket| pool.acquire(ticket));
    pool.connect(1);
    let waiting = [
        "waiting: ticket 3",
        "waiting: ticket 4",
        "waiting: ticket 5",
    ];
    pool.is(&[&["#1 active, 1 request", "#2 connecting"][..], &waiting].concat());
    pool.leave(4);
    pool.is(&[
        "#1 active, 1 request",
        "#2 connecting",
        "waiting: ticket 3",
        "waiting: ticket 5",
    ]);
    pool.done(1);
    pool.is(&[
        "#1 active, 2 requests",
        "#2 connecting",
        "waiting: ticket 5",
    ]);
    // The second connection cannot be opened.
    pool.end(2, Progress::Unused);
    pool.is(&["#1 active, 2 requests", "#3 connecting"]);
    assert_eq!(pool.held.into_keys().collect::<Vec<_>>(), [3, 5]);
}

#[test]
fn a_caller_who_gives_its_connection_back_returns_to_its_place() {
    let mut pool = Pool::new(1, 1, false);
    (1..=3).for_each(|ticket| pool.acquire(ticket));
    pool.connect(1);
    pool.end(1, Progress::Unused);
    pool.is(&["#1 active, 1 request", "waiting: ticket 3"]);
    pool.acquire(1);
    pool.is(&[
        "#1 active, 1 request",
        "waiting: ticket 1",
        "waiting: ticket 3",
    ]);
    pool.done(2);
    pool.is(&["#1 active, 2 requests", "waiting: ticket 3"]);
    assert!(pool.held.contains_key(&1));
    // So does one who has not opened its connection yet.
    pool.end(1, Progress::Sent);
    pool.closed(1);
    pool.end(3, Progress::Unused);
    pool.is(&[]);
}

#[test]
fn a_connection_given_back_unused_is_as_it_was() {
    let mut pool = Pool::new(2, 2, false);
    for ticket in [1, 2] {
        pool.acquire(ticket);
        pool.connect(ticket);
    }
    pool.done(1);
    pool.advance(1);
    pool.done(2);
    pool.acquire(3);
    pool.acquire(4);
    pool.advance(20);
    assert_eq!(pool.expire(1), Some(Duration::from_secs(9)));
    pool.end(3, Progress::Unused);
    pool.end(4, Progress::Unused);
    let idle = [
        "#1 idle since 0ns, expires at 30s, 1 request",
        "#2 idle since 1s, expires at 31s, 1 request",
    ];
    pool.is(&idle);
    assert_eq!(pool.state.counts().reused, 0);
    // If it has expired meanwhile, it is closed.
    pool.acquire(5);
    pool.advance(10);
    pool.end(5, Progress::Unused);
    pool.is(&[idle[0], "#2 closing"]);
}

#[test]
fn idle_connections_expire() {
    let mut pool = Pool::new(2, 2, false);
    for ticket in [1, 2] {
        pool.acquire(ticket);
        pool.connect(ticket);
    }
    pool.done(1);
    assert_eq!(pool.expire(1), Some(Duration::from_secs(30)));
    pool.advance(29);
    assert_eq!(pool.expire(1), Some(Duration::from_secs(1)));
    pool.advance(1);
    // A connection in use does not expire.
    assert!(pool.expire(2).is_some());
    assert_eq!(pool.expire(1), None);
    pool.is(&["#1 closing", "#2 active, 1 request"]);
    pool.done(2);
    pool.advance(30);
    // It is not used, although nothing has closed it yet.
    pool.acquire(3);
    pool.is(&["#1 closing", "#2 closing", "waiting: ticket 3"]);
    pool.closed(1);
    pool.is(&["#2 closing", "#3 connecting"]);
}

#[test]
fn an_idle_connection_that_the_server_has_closed_is_not_used() {
    let mut pool = Pool::new(2, 2, false);
    for ticket in [1, 2] {
        pool.acquire(ticket);
        pool.connect(ticket);
    }
    pool.done(1);
    pool.done(2);
    pool.sockets[&2].0.open.set(false);
    pool.acquire(3);
    pool.is(&["#1 active, 2 requests", "#2 closing"]);
    pool.closed(2);
    pool.closed(1);
    pool.is(&[]);
    pool.end(3, Progress::Sent);
    pool.is(&[]);
}

#[test]
fn the_idle_connections_above_the_limit_are_closed_oldest_first() {
    let mut pool = Pool::new(3, 1, false);
    for ticket in [1, 2, 3] {
        pool.acquire(ticket);
        pool.connect(ticket);
    }
    for ticket in [2, 1, 3] {
        pool.advance(1);
        pool.done(ticket);
    }
    pool.is(&[
        "#1 closing",
        "#2 closing",
        "#3 idle since 3s, expires at 33s, 1 request",
    ]);
}

#[test]
fn warming_up_opens_no_more_connections_than_may_be_idle() {
    let mut pool = Pool::new(4, 2, false);
    pool.acquire(1);
    pool.connect(1);
    pool.done(1);
    let id = pool.change(|state, _, _| state.warm_up()).unwrap();
    assert_eq!(pool.change(|state, _, _| state.warm_up()), None);
    pool.held.insert(2, Held::Permit(id));
    pool.connect(2);
    pool.end(2, Progress::Unused);
    pool.is(&[
        "#1 idle since 0ns, expires at 30s, 1 request",
        "#2 idle since 0ns, expires at 30s, 0 requests",
    ]);
}

#[test]
fn http2_calls_wait_for_the_connection_that_is_opened_and_for_the_servers_limit() {
    let mut pool = Pool::new(2, 2, true);
    (1..=4).for_each(|ticket| pool.acquire(ticket));
    let waiting = [
        "waiting: ticket 2",
        "waiting: ticket 3",
        "waiting: ticket 4",
    ];
    pool.is(&[&["#1 connecting"][..], &waiting].concat());
    pool.connect_http2(1, None);
    pool.is(&[&["#1 active, 1 of ? streams, 1 request"][..], &waiting].concat());
    pool.set_streams(1, 3);
    pool.is(&["#1 active, 3 of 3 streams, 3 requests", "#2 connecting"]);
    pool.connect_http2(4, None);
    // Dropping a response ends one stream only.
    pool.end(2, Progress::Sent);
    pool.acquire(5);
    pool.is(&[
        "#1 active, 3 of 3 streams, 4 requests",
        "#2 active, 1 of ? streams, 1 request",
    ]);
    // A lower limit ends no call.
    pool.set_streams(1, 1);
    pool.done(1);
    pool.acquire(6);
    pool.is(&[
        "#1 active, 2 of 1 streams, 4 requests",
        "#2 active, 1 of ? streams, 1 request",
        "waiting: ticket 6",
    ]);
    pool.set_streams(2, 500);
    pool.is(&[
        "#1 active, 2 of 1 streams, 4 requests",
        "#2 active, 2 of 500 streams, 2 requests",
    ]);
}

#[test]
fn http2_connections_of_one_stream_each_are_opened_at_once() {
    let mut pool = Pool::new(4, 4, true);
    pool.acquire(1);
    pool.connect_http2(1, 1);
    pool.set_streams(1, 1);
    (2..=5).for_each(|ticket| pool.acquire(ticket));
    pool.is(&[
        "#1 active, 1 of 1 streams, 1 request",
        "#2 connecting",
        "#3 connecting",
        "#4 connecting",
        "waiting: ticket 5",
    ]);
}

#[test]
fn an_http2_connection_that_allows_no_stream_or_goes_away_takes_no_call() {
    let mut pool = Pool::new(2, 2, true);
    pool.acquire(1);
    pool.connect_http2(1, 2);
    pool.done(1);
    pool.set_streams(1, 0);
    pool.acquire(2);
    pool.is(&[
        "#1 idle since 0ns, expires at 30s, 1 request",
        "#2 connecting",
    ]);
    pool.acquire(3);
    pool.set_streams(1, 1);
    pool.is(&["#1 active, 1 of 1 streams, 2 requests", "#2 connecting"]);
    pool.connect_http2(2, 5);
    pool.sockets[&2].0.open.set(false);
    pool.acquire(4);
    pool.is(&[
        "#1 active, 1 of 1 streams, 2 requests",
        "#2 active, 1 of 5 streams, 1 request",
        "waiting: ticket 4",
    ]);
    pool.done(2);
    pool.is(&[
        "#1 active, 1 of 1 streams, 2 requests",
        "#2 closing",
        "waiting: ticket 4",
    ]);
}

#[test]
fn callers_do_not_wait_for_a_connection_that_turns_out_to_be_one_of_http1() {
    let mut pool = Pool::new(3, 3, true);
    (1..=3).for_each(|ticket| pool.acquire(ticket));
    pool.is(&["#1 connecting", "waiting: ticket 2", "waiting: ticket 3"]);
    pool.connect(1);
    pool.is(&["#1 active, 1 request", "#2 connecting", "#3 connecting"]);
}
