//! Runs the phases, and says what they have found.

use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::arena::{self, Arena, Setting, Settled};
use crate::attacks::{Honest, Phase, phases};
use crate::honest::Outcome;
use crate::{Failure, Result};

/// The longest time that a phase may take.
const PHASE_TIMEOUT: Duration = Duration::from_secs(300);

/// How many times as many callers attack in the long form.
const LONG: usize = 10;

/// The open files that a thousand callers and their gateway need.
const OPEN_FILES: u64 = 4096;

/// What a phase that passed has found.
struct Found {
    attack: String,
    honest: usize,
    settled: Settled,
    took: Duration,
}

/// Runs the phases of these names, or all. Returns whether all have passed.
pub fn run(names: &[String], short: bool) -> Result<bool> {
    let scale = if short { 1 } else { LONG };
    let mut phases = phases(scale);
    let known: Vec<&str> = phases.iter().map(|phase| phase.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(format!("there is no phase {unknown:?}; the phases are {known}").into());
    }
    phases.retain(|phase| names.is_empty() || names.iter().any(|name| name == phase.name));
    let mut files = getrlimit(Resource::Nofile);
    let wanted = files
        .maximum
        .map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if files.current.is_some_and(|current| current < wanted) {
        files.current = Some(wanted);
        setrlimit(Resource::Nofile, files)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run_all(&phases, scale))
}

async fn run_all(phases: &[Phase], scale: usize) -> Result<bool> {
    let (mut passed, mut failed, mut ignored) = (Vec::new(), 0, 0);
    let mut arena: Option<Arena> = None;
    for (i, phase) in phases.iter().enumerate() {
        // In the short form, the gateway's memory is awaited once, after its last phase.
        let is_last = phases
            .get(i + 1)
            .is_none_or(|next| next.setting != phase.setting);
        let with_memory = is_last || scale > 1;
        if phase.setting == Setting::SmallDisk
            && let Some(why) = arena::why_no_small_disk()?
        {
            ignored += 1;
            println!(
                "test {} ... ignored, no disk can be mounted: {why}",
                phase.name
            );
            continue;
        }
        // After a failure, the next phase has a new gateway.
        let found = match arena.take().filter(|arena| arena.setting == phase.setting) {
            Some(arena) => Ok(arena),
            None => Arena::start(phase.setting, scale).await,
        };
        let found = match found {
            Ok(mut same) => {
                let found = attack(phase, &mut same, with_memory);
                let found = tokio::time::timeout(PHASE_TIMEOUT, found).await;
                let found = found.unwrap_or_else(|_| Err("it did not end".into()));
                match found {
                    Ok(found) => {
                        arena = Some(same);
                        Ok(found)
                    }
                    Err(why) => Err(Failure::from(format!("{why}\n{}", log(&same)))),
                }
            }
            Err(why) => Err(why),
        };
        match found {
            Ok(found) => {
                println!("test {} ... ok: {}", phase.name, line(&found));
                passed.push((phase.name, found));
            }
            Err(why) => {
                failed += 1;
                println!("test {} ... FAILED: {why}", phase.name);
            }
        }
    }
    if scale > 1 {
        println!("\n{}", table(&passed));
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {result}. {} passed; {failed} failed; {ignored} ignored",
        passed.len()
    );
    Ok(failed == 0)
}

/// The end of what the gateway has logged.
fn log(arena: &Arena) -> String {
    let log = arena.gateway.log();
    let from = log.len().saturating_sub(2000);
    log[log.ceil_char_boundary(from)..].to_owned()
}

async fn attack(phase: &Phase, arena: &mut Arena, with_memory: bool) -> Result<Found> {
    let begun = Instant::now();
    let honest = match phase.honest {
        Honest::Absent => None,
        _ => Some(arena.honest()?),
    };
    let attacked = (phase.attack)(arena).await;
    let mut calls = 0;
    if let Some(honest) = honest {
        for (outcome, n) in honest.stop().await? {
            if let (Honest::Replied, Outcome::Refused(status)) = (phase.honest, &outcome) {
                return Err(format!("{n} well-behaved calls were refused with {status}").into());
            }
            calls += n;
        }
        if calls == 0 {
            return Err("no well-behaved call has ended".into());
        }
    }
    let attack = attacked?;
    let settled = arena.settled(with_memory).await?;
    if arena.gateway.log().contains("panicked") {
        return Err("the gateway has panicked".into());
    }
    Ok(Found {
        attack,
        honest: calls,
        settled,
        took: begun.elapsed(),
    })
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

/// An amount in dollars, to a hundredth of a cent.
fn usd(pico: u64) -> String {
    format!("${:.4}", pico as f64 / 1e12)
}

fn line(found: &Found) -> String {
    let Settled {
        held,
        idle,
        billed,
        budget,
    } = found.settled;
    format!(
        "{}; {} well-behaved calls; after it {} of {} sockets, {} of {} descriptors, {} MiB of {}; billed {} <= {} <= {}; {:.1} s",
        found.attack,
        found.honest,
        held.sockets,
        idle.sockets,
        held.descriptors,
        idle.descriptors,
        mib(held.memory),
        mib(idle.memory),
        usd(billed),
        usd(budget.spent + budget.reserved),
        usd(budget.limit),
        found.took.as_secs_f64()
    )
}

fn table(passed: &[(&str, Found)]) -> String {
    let mut table = "| phase | attack | well-behaved calls | sockets before, after | MiB before, after | billed ≤ ledger ≤ limit | time |\n\
                     | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (name, found) in passed {
        let Settled {
            held,
            idle,
            billed,
            budget,
        } = found.settled;
        table += &format!(
            "| {name} | {} | {} | {}, {} | {}, {} | {} ≤ {} ≤ {} | {:.0} s |\n",
            found.attack,
            found.honest,
            idle.sockets,
            held.sockets,
            mib(idle.memory),
            mib(held.memory),
            usd(billed),
            usd(budget.spent + budget.reserved),
            usd(budget.limit),
            found.took.as_secs_f64()
        );
    }
    table
}
