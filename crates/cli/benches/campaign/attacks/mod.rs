//! The attacks, a file for each kind.

mod broken_callers;
mod descriptors;
mod disk;
mod floods_of_callers;
mod idle_callers;
mod kill;
mod providers;
mod slow_callers;

use std::pin::Pin;

use crate::Result;
use crate::arena::{Arena, Setting};

/// Attacks a gateway, and returns what was done.
///
/// The error is what the gateway did wrong.
type Attack = for<'a> fn(&'a mut Arena) -> Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// What becomes of the calls that well-behaved callers make during an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honest {
    /// All get a whole reply.
    Replied,
    /// All get a whole reply or an error.
    Answered,
    /// There are none: the attack has its own.
    Absent,
}

pub struct Phase {
    pub name: &'static str,
    pub setting: Setting,
    pub honest: Honest,
    pub attack: Attack,
}

/// All phases. Consecutive ones with the same setting attack the same gateway.
pub fn phases(scale: usize) -> Vec<Phase> {
    let plain = |name, attack| Phase {
        name,
        setting: Setting::Plain,
        honest: Honest::Replied,
        attack,
    };
    vec![
        plain("slow-callers", |arena| {
            Box::pin(slow_callers::attack(arena))
        }),
        plain("half-closing-and-resetting-callers", |arena| {
            Box::pin(broken_callers::half_close_and_reset(arena))
        }),
        plain("leaving-callers", |arena| {
            Box::pin(broken_callers::leave(arena))
        }),
        plain("callers-that-do-not-read", |arena| {
            Box::pin(broken_callers::do_not_read(arena))
        }),
        plain("floods-of-headers", |arena| {
            Box::pin(floods_of_callers::headers(arena))
        }),
        plain("oversized-bodies", |arena| {
            Box::pin(floods_of_callers::bodies(arena))
        }),
        plain("pipelining", |arena| {
            Box::pin(floods_of_callers::pipelining(arena))
        }),
        plain("idle-callers", |arena| {
            Box::pin(idle_callers::attack(arena))
        }),
        plain("slow-providers", |arena| Box::pin(providers::slow(arena))),
        plain("floods-by-providers", |arena| {
            Box::pin(providers::floods(arena))
        }),
        plain("endless-bodies", |arena| {
            Box::pin(providers::endless(arena))
        }),
        plain("half-closing-and-resetting-providers", |arena| {
            Box::pin(providers::broken(arena))
        }),
        Phase {
            name: "no-file-descriptors",
            setting: Setting::FewDescriptors(64),
            honest: Honest::Answered,
            attack: |arena| Box::pin(descriptors::attack(arena)),
        },
        Phase {
            name: "full-disk",
            setting: Setting::SmallDisk,
            honest: Honest::Answered,
            attack: |arena| Box::pin(disk::attack(arena)),
        },
        Phase {
            name: "kill-9",
            setting: Setting::Budget(20 * scale as u64),
            honest: Honest::Absent,
            attack: |arena| Box::pin(kill::attack(arena)),
        },
    ]
}
