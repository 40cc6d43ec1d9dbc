//! The tests that run worlds, and `npm run simulate`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::shrink::shrink;
use super::*;

/// Seeds of each run of the suite.
const SEEDS: u64 = 150;

#[test]
fn a_seed_is_one_world_step_by_step() {
    for seed in 0..10 {
        let plan = Plan::of(seed);
        let first = run(&plan, true);
        assert!(first.history.lines().count() > 100, "{}", first.history);
        let again = run(&plan, true);
        let lines = first.history.lines().zip(again.history.lines());
        assert_eq!(lines.clone().find(|(one, other)| one != other), None, "seed {seed}");
        assert_eq!(first, again);
    }
}

#[test]
fn a_world_is_full_of_members_callers_and_events() {
    for plan in (0..1_000).map(Plan::of) {
        assert!(plan.members.len() >= 3 && plan.callers.len() >= 20, "{plan:?}");
        assert!(plan.events() >= 200, "seed {}: {}", plan.seed, plan.events());
    }
}

#[test]
fn nothing_that_must_hold_is_broken_in_any_world() {
    let found = explore(0, |done, _| done < SEEDS);
    assert!(found.seeds == SEEDS && found.violations.is_empty(), "{}", found.report());
}

/// Defects that the simulator found, each with the seed that showed it (docs/simulation.md).
#[test]
fn what_was_found_once_is_found_no_more() {
    for (defect, seed) in [
        ("what replaced a token stayed in its place after it was rejected too", 9),
        ("a fetch from before a rejection put the rejected token in the place of others", 523),
        ("a fetch from before a rejection was joined, if another token was cached at that time", 4_952),
        ("an aborted caller took the command with it that others waited for", 4_097),
        ("Redis did not note a rejected token where it had another one", 1_082),
        (
            "a fetch from before a second report shared the token once the first report's tag had expired",
            22_447,
        ),
        ("the same, with other members", 26_655),
        ("a member without a subscription joined calls to a fetch that began long before", 557_700),
        ("such a member served for half a second what a fetch from long before had brought", 501_500),
    ] {
        assert_eq!(run(&Plan::of(seed), false).violation, None, "{defect}");
    }
}

/// Here a plan fails when a call ends with "not provisioned".
#[test]
fn a_failure_is_made_shorter_and_stays_the_same_failure() {
    let fails = |plan: &Plan| run(plan, true).history.contains("gets Unavailable(NotProvisioned)");
    let plan = (0..).map(Plan::of).find(fails).unwrap();
    let shorter = shrink(&plan, fails);
    assert!(fails(&shorter));
    assert!(shorter.events() <= plan.events() / 4, "{} of {}", shorter.events(), plan.events());
}

/// The results of many worlds.
struct Findings {
    seeds: u64,
    violations: BTreeMap<&'static str, Vec<u64>>,
}

/// Runs worlds on all processors while `goes_on` says so, by the number of worlds and the time of the first.
fn explore(first: u64, goes_on: impl Fn(u64, Instant) -> bool + Sync) -> Findings {
    let (start, next) = (Instant::now(), AtomicU64::new(0));
    let violations = Mutex::new(BTreeMap::<_, Vec<_>>::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if !goes_on(number, start) {
                next.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let seed = first.wrapping_add(number);
            if let Some(violation) = run(&Plan::of(seed), false).violation {
                violations.lock().unwrap().entry(violation.invariant).or_default().push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    Findings { seeds: next.into_inner(), violations: violations.into_inner().unwrap() }
}

impl Findings {
    /// Each broken invariant, with a shortened history of one seed.
    fn report(&self) -> String {
        let mut report = String::new();
        for (invariant, seeds) in &self.violations {
            let shown = &seeds[..seeds.len().min(8)];
            let _ = writeln!(report, "{} seeds break \"{invariant}\", among them {shown:?}", seeds.len());
        }
        for (invariant, seeds) in &self.violations {
            report += &shortened(seeds[0], invariant);
        }
        report
    }
}

/// A shortened history that breaks the same invariant as the seed.
fn shortened(seed: u64, invariant: &str) -> String {
    let plan = Plan::of(seed);
    let breaks = |plan: &Plan| run(plan, false).violation.is_some_and(|it| it.invariant == invariant);
    let shorter = shrink(&plan, breaks);
    let history = run(&shorter, true).history;
    let end = history.find("VIOLATION").and_then(|at| Some(at + history[at..].find('\n')?));
    let (before, after) = (plan.events(), shorter.events());
    let history = &history[..end.unwrap_or(history.len())];
    format!("\nSeed {seed} breaks \"{invariant}\". With {after} of its {before} events:\n{history}\n")
}

/// `npm run simulate`.
#[test]
#[ignore = "as long as one likes"]
#[allow(clippy::print_stdout, reason = "its output is what it is for")]
#[allow(clippy::disallowed_methods, reason = "its options: scripts/simulate.js hands them on")]
fn simulate() {
    let read = |name: &str| {
        let text = std::env::var(format!("XKIT_SIMULATE_{name}")).ok()?;
        text.parse::<u64>().ok()
    };
    if let Some(seed) = read("SEED") {
        let ended = run(&Plan::of(seed), true);
        println!("{}", ended.history);
        if let Some(violation) = ended.violation {
            panic!("{}", shortened(seed, violation.invariant));
        }
        return;
    }
    let first = read("FROM").unwrap_or(0);
    let (seeds, minutes) = (read("SEEDS").unwrap_or(u64::MAX), read("MINUTES").unwrap_or(u64::MAX));
    println!("from seed {first}");
    let start = Instant::now();
    let found = explore(first, |done, start| done < seeds && start.elapsed().as_secs() / 60 < minutes);
    let rate = found.seeds as f64 / start.elapsed().as_secs_f64();
    println!("{} worlds, {rate:.0} a second", found.seeds);
    assert!(found.violations.is_empty(), "{}", found.report());
}
