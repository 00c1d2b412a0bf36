//! The ladder: give up time for memory, in a declared order, until the plan fits.

use crate::{BudgetError, Bytes, Plan, Region, Rung};

/// A rung may be taken several times (halve, halve again); more than this is a rung that never ends.
const MAX_MOVES: usize = 64;

/// One move down a rung: the changed configuration, what changed, and what it costs.
pub struct Move<C> {
    /// The configuration after the move.
    pub config: C,
    /// What was changed, from what to what.
    pub why: String,
    /// Estimated time of a step against before the move.
    pub time_factor: f64,
}

/// One rung of a ladder over configurations `C`.
pub struct Step<'a, C> {
    /// Its name, as reported.
    pub name: &'a str,
    /// The next move down this rung, or `None` at its end.
    pub next: &'a dyn Fn(&C) -> Option<Move<C>>,
}

/// Walks down the ladder until the plan of the configuration fits `budget`.
///
/// Rungs are taken in order, each to its end. A late rung may save so much that the early ones were
/// taken for nothing, so the walk is repeated with each rung put first in turn, and the walk that
/// costs the least time wins; of equals, the one closest to the declared order.
///
/// # Errors
/// [`BudgetError::TooSmall`] with the smallest plan when even the bottom does not fit.
pub fn climb<C: Clone>(
    start: C,
    rungs: &[Step<'_, C>],
    budget: Bytes,
    regions: impl Fn(&C) -> Vec<Region>,
) -> Result<(C, Plan), BudgetError> {
    let mut best = walk(&start, &rungs.iter().collect::<Vec<_>>(), budget, &regions)?;
    for first in 1..rungs.len() {
        let others = (0..rungs.len()).filter(|&i| i != first);
        let order: Vec<_> = std::iter::once(first).chain(others).map(|i| &rungs[i]).collect();
        if let Ok((config, plan)) = walk(&start, &order, budget, &regions) {
            let smallest = plan.smallest_budget.min(best.1.smallest_budget);
            if plan.time_factor() < best.1.time_factor() {
                best = (config, plan);
            }
            best.1.smallest_budget = smallest;
        }
    }
    Ok(best)
}

/// One walk down `rungs`. A rung that saves nothing is taken back, since it would cost time for no
/// memory; it gets another chance after the others, for a region that was hidden behind a larger one
/// may have become the peak.
fn walk<C: Clone>(
    start: &C,
    rungs: &[&Step<'_, C>],
    budget: Bytes,
    regions: &impl Fn(&C) -> Vec<Region>,
) -> Result<(C, Plan), BudgetError> {
    let plan = |c: &C| Plan::new(budget, regions(c));
    let mut at = (start.clone(), plan(start));
    let mut fitting = at.1.fits().then(|| at.clone());
    loop {
        let before = at.1.total();
        for rung in rungs {
            let foot = at.clone();
            for _ in 0..MAX_MOVES {
                let Some(step) = (rung.next)(&at.0) else { break };
                let mut next = plan(&step.config);
                next.ladder = std::mem::take(&mut at.1.ladder);
                next.ladder.push(Rung {
                    rung: rung.name.into(),
                    why: step.why,
                    time_factor: step.time_factor,
                });
                at = (step.config, next);
                if fitting.is_none() && at.1.fits() {
                    fitting = Some(at.clone());
                }
            }
            if at.1.total() >= foot.1.total() {
                at = foot;
            }
        }
        if at.1.total() >= before {
            break;
        }
    }
    let smallest = at.1.total();
    let (config, mut plan) = match fitting {
        Some(fitting) => fitting,
        None => {
            let plan = Box::new(Plan { smallest_budget: smallest, ..at.1 });
            return Err(BudgetError::TooSmall { budget, smallest, plan });
        }
    };
    // The first fit can lie below the foot of the ladder when a rung grew its last moves.
    plan.smallest_budget = smallest.min(plan.total());
    Ok((config, plan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Config {
        tangents: u64,
        batch: u64,
        streamed: bool,
    }

    fn go(budget: u64) -> Result<(Config, Plan), BudgetError> {
        let halve = |n: u64| (n > 1).then_some(n / 2);
        let tangents = move |c: &Config| {
            halve(c.tangents).map(|n| Move {
                why: format!("{} to {n}", c.tangents),
                config: Config { tangents: n, ..c.clone() },
                time_factor: 1.2,
            })
        };
        let useless = |c: &Config| {
            (!c.streamed).then(|| Move { config: c.clone(), why: String::new(), time_factor: 9.0 })
        };
        let batch = move |c: &Config| {
            halve(c.batch).map(|n| Move {
                why: format!("{} to {n}", c.batch),
                config: Config { batch: n, ..c.clone() },
                time_factor: 1.3,
            })
        };
        let stream = |c: &Config| {
            (!c.streamed).then(|| Move {
                config: Config { streamed: true, ..c.clone() },
                why: "resident to streamed".into(),
                time_factor: 3.0,
            })
        };
        let rungs = [
            Step { name: "tangents", next: &tangents },
            Step { name: "useless", next: &useless },
            Step { name: "batch", next: &batch },
            Step { name: "stream", next: &stream },
        ];
        let start = Config { tangents: 4, batch: 8, streamed: false };
        climb(start, &rungs, Bytes(budget), |c| {
            vec![
                Region::new("weights", Kind::Mapped, Bytes(if c.streamed { 10 } else { 100 })),
                Region::new("rows", Kind::Arena, Bytes((1 + c.tangents) * c.batch)),
            ]
        })
    }

    #[test]
    fn takes_no_more_rungs_than_needed() {
        let (config, plan) = go(140).unwrap();
        assert_eq!(config, Config { tangents: 4, batch: 8, streamed: false });
        assert!(plan.ladder.is_empty() && plan.smallest_budget == Bytes(12));

        let (config, plan) = go(130).unwrap();
        assert_eq!(config, Config { tangents: 2, batch: 8, streamed: false });
        assert_eq!((plan.ladder.len(), plan.time_factor()), (1, 1.2));
    }

    #[test]
    fn a_rung_that_saves_nothing_is_not_taken() {
        let (_, plan) = go(108).unwrap();
        let names: Vec<&str> = plan.ladder.iter().map(|r| r.rung.as_str()).collect();
        assert_eq!(names, ["tangents", "tangents", "batch"]);
    }

    #[test]
    fn a_late_rung_that_saves_enough_spares_the_early_ones() {
        // In order it would take 1.2² · 1.3³ times as long before streaming even begins.
        let (config, plan) = go(50).unwrap();
        assert_eq!(config, Config { tangents: 4, batch: 8, streamed: true });
        assert_eq!((plan.ladder.len(), plan.time_factor(), plan.smallest_budget), (1, 3.0, Bytes(12)));
    }

    #[test]
    fn a_hidden_region_gets_its_second_chance() {
        // The peak is the larger of two phases: the first rung shrinks the smaller one and shows only later.
        let shrink = |i: usize| {
            move |c: &[u64; 2]| {
                let mut config = *c;
                config[i] = 10;
                (config != *c).then(|| Move { config, why: String::new(), time_factor: 1.0 })
            }
        };
        let (hidden, peak) = (shrink(0), shrink(1));
        let rungs = [Step { name: "hidden", next: &hidden }, Step { name: "peak", next: &peak }];
        let plan = |c: &[u64; 2]| vec![Region::new("phase", Kind::Arena, Bytes(c[0].max(c[1])))];
        assert_eq!(climb([50, 100], &rungs, Bytes(10), plan).unwrap().0, [10, 10]);
    }

    #[test]
    fn refusal_names_the_smallest_budget_and_that_budget_works() {
        let Err(BudgetError::TooSmall { budget, smallest, plan }) = go(11) else { panic!("it cannot fit") };
        assert_eq!((budget, smallest), (Bytes(11), Bytes(12)));
        assert!(!plan.fits() && plan.smallest_budget == smallest);
        assert!(go(smallest.0).unwrap().1.fits());
    }

    proptest! {
        #[test]
        fn a_plan_that_is_returned_fits(budget in 0u64..200) {
            match go(budget) {
                Ok((_, plan)) => prop_assert!(plan.fits() && budget >= 12),
                Err(_) => prop_assert!(budget < 12),
            }
        }
    }
}
