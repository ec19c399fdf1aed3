//! `cargo xtask test`: runs the suites that are named, or all of them, and prints one closing count.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::count::Count;
use crate::runtimes::Fixtures;
use crate::setup::{self, Need};
use crate::suites::{Group, SUITES, Suite};
use crate::workspace::Result;

#[derive(Args)]
pub(crate) struct Options {
    /// The suites or groups of suites to run. All run if none is named.
    #[arg(value_name = "SUITE")]
    names: Vec<String>,
    /// List the suites, and run none.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let suites = select(&options.names)?;
    if options.list {
        print!("{}", list(&suites));
        return Ok(ExitCode::SUCCESS);
    }
    let unmet = setup::prepare(&needs(&suites))?;
    let total = run_each(&suites, &unmet);
    println!("{total}");
    Ok(match total.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The suites of these names, each once and in the order of the table.
fn select(names: &[String]) -> Result<Vec<&'static Suite>> {
    for name in names {
        let is_known =
            Group::of_name(name).is_some() || SUITES.iter().any(|suite| suite.name == name);
        if !is_known {
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            return Err(format!(
                "there is no suite {name:?}. The groups are {} and {}; the suites are {}.",
                Group::Core.name(),
                Group::Ecosystem.name(),
                known.join(", ")
            )
            .into());
        }
    }
    let wanted = |suite: &&Suite| {
        names.is_empty()
            || names
                .iter()
                .any(|name| name == suite.name || name == suite.group.name())
    };
    Ok(SUITES.iter().filter(wanted).collect())
}

fn list(suites: &[&Suite]) -> String {
    let lines = suites.iter().map(|suite| {
        format!(
            "{:<14} {:<10} {}\n",
            suite.name,
            suite.group.name(),
            suite.about
        )
    });
    lines.collect()
}

fn needs(suites: &[&Suite]) -> Vec<Need> {
    suites
        .iter()
        .flat_map(|suite| suite.needs)
        .copied()
        .collect()
}

/// Runs suite by suite. One whose needs are not met fails and does not run.
fn run_each(suites: &[&Suite], unmet: &BTreeMap<Need, String>) -> Count {
    let fixtures = Fixtures::default();
    let mut results = Vec::new();
    for suite in suites {
        println!("== {}: {}", suite.name, suite.about);
        let begun = Instant::now();
        let why: Vec<&String> = suite
            .needs
            .iter()
            .filter_map(|need| unmet.get(need))
            .collect();
        let outcome = match why.first() {
            None => (suite.run)(&fixtures),
            Some(why) => Err(why.as_str().into()),
        };
        let count = concluded(suite.name, outcome);
        results.push((suite.name, count, begun.elapsed()));
    }
    let mut total = Count::default();
    println!("== summary");
    for (name, count, took) in results {
        println!("{}", summary(name, count, took));
        total += count;
    }
    total
}

/// The count of a suite that has ended. One with an error has failed, and so has one in which nothing ran.
fn concluded(name: &str, outcome: Result<Count>) -> Count {
    match outcome {
        Ok(Count {
            passed: 0,
            failed: 0,
            skipped,
        }) => {
            println!("{name}: FAILED: nothing ran");
            Count {
                skipped,
                ..Count::one(false)
            }
        }
        Ok(count) => count,
        Err(error) => {
            println!("{name}: FAILED: {error}");
            Count::one(false)
        }
    }
}

fn summary(name: &str, count: Count, took: Duration) -> String {
    format!("{name:<14} {:>7.1} s  {count}", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Result<Vec<&'static str>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Ok(select(&wanted)?.iter().map(|suite| suite.name).collect())
    }

    #[test]
    fn suites_are_selected_by_name_and_by_group_each_once() {
        assert_eq!(
            names(&["lints", "format", "lints"]).unwrap(),
            ["format", "lints"]
        );
        let (core, ecosystem) = (
            names(&["core", "format"]).unwrap(),
            names(&["ecosystem"]).unwrap(),
        );
        assert!(core.contains(&"imports") && ecosystem.contains(&"workerd"));
        let all = names(&[]).unwrap();
        assert_eq!(all.len(), core.len() + ecosystem.len());
        assert_eq!(all.len(), SUITES.len());
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let error = names(&["format", "formats"]).unwrap_err().to_string();
        assert!(
            error.starts_with("there is no suite \"formats\""),
            "{error}"
        );
        for name in names(&[]).unwrap().into_iter().chain(["core", "ecosystem"]) {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn no_suite_has_the_name_of_another_or_of_a_group() {
        let mut names: Vec<&str> = SUITES
            .iter()
            .map(|suite| suite.name)
            .chain(["core", "ecosystem"])
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_suite_in_which_nothing_ran_has_failed() {
        let passed = Count {
            passed: 2,
            ..Count::default()
        };
        assert_eq!(concluded("a", Ok(passed)), passed);
        assert_eq!(concluded("a", Ok(Count::default())).failed, 1);
        let skipped = Count {
            skipped: 3,
            ..Count::default()
        };
        assert_eq!(
            concluded("a", Ok(skipped)),
            Count {
                failed: 1,
                ..skipped
            }
        );
        assert_eq!(concluded("a", Err("no".into())).failed, 1);
    }

    #[test]
    fn a_suite_whose_needs_are_not_met_fails_without_being_run() {
        let suite = Suite {
            name: "a",
            group: Group::Core,
            about: "",
            needs: &[Need::Redis],
            run: |_| Ok(Count::one(true)),
        };
        let unmet = BTreeMap::from([(Need::Redis, "there is no redis-server".to_owned())]);
        assert_eq!(run_each(&[&suite], &unmet), Count::one(false));
        assert_eq!(run_each(&[&suite], &BTreeMap::new()), Count::one(true));
    }
}
