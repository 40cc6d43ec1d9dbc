//! Owns how a failing plan is made shorter: it leaves out steps and events as long as the plan fails in the same way.

use super::plan::Plan;

/// The number of worlds that it may run.
const MOST_RUNS: usize = 3_000;

/// A plan with fewer steps and events that still fails.
pub fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut shortest = plan.clone();
    let mut runs = 0;
    let mut size = plan.events().div_ceil(2);
    loop {
        let mut first = 0;
        while first < shortest.events() && runs < MOST_RUNS {
            let shorter = shortest.without(first, size);
            runs += 1;
            if fails(&shorter) {
                shortest = shorter;
            } else {
                first += size;
            }
        }
        if size == 1 || runs >= MOST_RUNS {
            return shortest;
        }
        size = size.div_ceil(2);
    }
}

impl Plan {
    /// Leaves out `count` events from number `first` on: the plan's events, and then each caller's steps. The later steps keep
    /// their times.
    fn without(&self, first: usize, count: usize) -> Self {
        let mut plan = self.clone();
        let mut number = 0;
        let mut stays = || {
            number += 1;
            !(first < number && number <= first + count)
        };
        plan.nature.retain(|_| stays());
        for caller in &mut plan.callers {
            let mut pauses = 0;
            let mut steps = Vec::new();
            for (pause, action) in std::mem::take(&mut caller.steps) {
                pauses += pause;
                if stays() {
                    steps.push((std::mem::take(&mut pauses), action));
                }
            }
            caller.steps = steps;
        }
        plan.callers.retain(|caller| !caller.steps.is_empty());
        plan
    }
}
