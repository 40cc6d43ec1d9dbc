//! What the suite asks of the simulator.

use super::*;
use crate::core::mutation::{self, Mutation};

#[test]
fn a_seed_is_one_world_step_by_step() {
    for seed in 0..20 {
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
    for seed in 0..150 {
        let ended = run(&Plan::of(seed), true);
        assert_eq!(ended.violation, None, "seed {seed}\n{}", ended.history);
    }
}

/// `npm run simulate`.
#[test]
#[ignore = "as long as one likes"]
#[allow(clippy::print_stdout, reason = "its output is what it is for")]
#[allow(clippy::disallowed_methods, reason = "the environment of a test")]
fn simulate() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = read("XKIT_SIMULATE_SEED") {
        let ended = run(&Plan::of(seed), true);
        println!("{}", ended.history);
        assert_eq!(ended.violation, None);
        return;
    }
    let first = read("XKIT_SIMULATE_FROM").unwrap_or(0);
    let count = read("XKIT_SIMULATE_COUNT").unwrap_or(1_000);
    let start = std::time::Instant::now();
    let mut found = std::collections::BTreeMap::<_, Vec<_>>::new();
    for seed in first..first + count {
        if let Some(violation) = run(&Plan::of(seed), false).violation {
            found.entry(violation.invariant).or_default().push(seed);
        }
    }
    println!("{count} worlds in {:?}", start.elapsed());
    for (invariant, seeds) in &found {
        println!("{} x {invariant}: {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
}

/// How many seeds it takes until a defect is found, and by what.
fn seeds_until_found(mutation: Mutation, most: u64) -> Option<(u64, &'static str)> {
    mutation::set(Some(mutation));
    let found = (0..most).find_map(|seed| {
        run(&Plan::of(seed), false).violation.map(|violation| (seed + 1, violation.invariant))
    });
    mutation::set(None);
    found
}

/// `npm run simulate -- --mutations`.
#[test]
#[ignore = "as long as one likes"]
#[allow(clippy::print_stdout, reason = "its output is what it is for")]
fn mutations() {
    for mutation in Mutation::ALL {
        match seeds_until_found(mutation, 8_000) {
            Some((seeds, invariant)) => println!("| {mutation:?} | {seeds} | {invariant} |"),
            None => println!("| {mutation:?} | not found in 8,000 | |"),
        }
    }
}
