//! Which settings a profile measures.

use crate::args::ProfileArgs;
use crate::exit::{Exit, Failure};
use sprig_learn::estimator::Method;
use sprig_learn::recipe::defaults::{BATCH, LEN};
use sprig_learn::recipe::{Batch, Len, Rank, Tangents, Way};
use sprig_learn::workload::Residency;
use sprig_report::profile::Setting;
use std::fmt::Display;

/// Most settings of a profile: days on a board.
const MOST: usize = 512;

/// One place of the grid; none: as `sprig train` has it by default.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    len: Len,
    batch: Batch,
    tangents: Option<Tangents>,
    rank: Option<Rank>,
    weights: Residency,
    estimator: Way,
}

/// The settings that the command line asks for, in the order in which they are measured.
///
/// # Errors
/// Several values of something without `--sweep`, an estimator that takes no steps, or too many settings.
pub fn settings(args: &ProfileArgs) -> Result<Vec<Setting>, Failure> {
    if args.estimator.contains(&Way::ReadOut) {
        let message =
            "--estimator readout takes no steps, which a profile measures; name another, or leave it out";
        return Err(Failure::new(Exit::Usage, message));
    }
    if !args.sweep {
        let axes = [
            ("--len", listed(&args.len)),
            ("--batch", listed(&args.batch)),
            ("--tangents", listed(&args.tangents)),
            ("--rank", listed(&args.rank)),
            ("--weights", listed(&args.weights)),
            ("--estimator", listed(&args.estimator)),
        ];
        if let Some((flag, values)) = axes.iter().find(|(_, values)| values.contains(',')) {
            let message =
                format!("{flag} {values} is more than one setting; add --sweep to measure them all");
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let given = !args.len.is_empty()
        || !args.batch.is_empty()
        || !args.tangents.is_empty()
        || !args.rank.is_empty()
        || !args.weights.is_empty()
        || !args.estimator.is_empty();
    let places = if args.sweep && !given { around_the_middle() } else { every_combination(args)? };
    let mut settings: Vec<Setting> = Vec::new();
    for setting in places.into_iter().map(Place::setting) {
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    Ok(settings)
}

impl Place {
    fn setting(self) -> Setting {
        // The exact gradient takes no directions.
        let takes_directions = self.estimator != Way::Steps(Method::Reverse);
        Setting {
            estimator: self.estimator.to_string(),
            len: self.len.get(),
            batch: self.batch.get(),
            tangents: self.tangents.filter(|_| takes_directions).map(Tangents::get),
            rank: self.rank.map(Rank::get),
            weights: self.weights.to_string(),
        }
    }
}

/// The middle of a small grid, each of its axes varied by itself, and the ends of the whole: what a board takes minutes for.
fn around_the_middle() -> Vec<Place> {
    let (forward, reverse) = (Way::Steps(Method::Forward), Way::Steps(Method::Reverse));
    let middle = Place {
        len: Len::of::<128>(),
        batch: Batch::of::<4>(),
        tangents: Some(Tangents::of::<1>()),
        rank: Some(Rank::of::<8>()),
        weights: Residency::Resident,
        estimator: forward,
    };
    let (shortest, longest) = (Len::of::<64>(), Len::of::<256>());
    let (least, most) = (Batch::of::<1>(), Batch::of::<8>());
    let (low, more) = (Some(Rank::of::<4>()), Some(Tangents::of::<4>()));
    vec![
        middle,
        Place { len: shortest, ..middle },
        Place { len: longest, ..middle },
        Place { batch: least, ..middle },
        Place { batch: most, ..middle },
        Place { tangents: more, ..middle },
        Place { rank: low, ..middle },
        Place { weights: Residency::Streamed, ..middle },
        Place { estimator: reverse, ..middle },
        Place { len: shortest, batch: least, rank: low, ..middle },
        Place { len: longest, batch: most, tangents: more, ..middle },
        Place { len: longest, batch: most, estimator: reverse, ..middle },
    ]
}

fn every_combination(args: &ProfileArgs) -> Result<Vec<Place>, Failure> {
    let usual = if args.tangents.is_empty() { Way::Auto } else { Way::Steps(Method::Forward) };
    let estimators = or(&args.estimator, usual);
    let (lens, batches) = (or(&args.len, LEN), or(&args.batch, BATCH));
    let (tangents, ranks) = (optional(&args.tangents), optional(&args.rank));
    let residencies = or(&args.weights, Residency::Auto);
    let sizes = [estimators.len(), lens.len(), batches.len(), tangents.len(), ranks.len(), residencies.len()];
    let count = sizes.into_iter().fold(1, usize::saturating_mul);
    if count > MOST {
        let message = format!("{count} settings are more than the {MOST} of a profile; shorten a list");
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut places = Vec::with_capacity(count);
    for estimator in estimators {
        for &weights in &residencies {
            for &rank in &ranks {
                for &tangents in &tangents {
                    for &batch in &batches {
                        places.extend(lens.iter().map(|&len| Place {
                            len,
                            batch,
                            tangents,
                            rank,
                            weights,
                            estimator,
                        }));
                    }
                }
            }
        }
    }
    Ok(places)
}

fn or<T: Copy>(given: &[T], usual: T) -> Vec<T> {
    if given.is_empty() { vec![usual] } else { given.to_vec() }
}

fn optional<T: Copy>(given: &[T]) -> Vec<Option<T>> {
    if given.is_empty() { vec![None] } else { given.iter().copied().map(Some).collect() }
}

fn listed<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn of(line: &str) -> Result<Vec<Setting>, Failure> {
        let line = format!("sprig profile --model m.gguf {line}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Profile(args) => settings(&args),
            other => panic!("{other:?}"),
        }
    }

    fn names(line: &str) -> Vec<String> {
        of(line).unwrap().iter().map(Setting::to_string).collect()
    }

    #[test]
    fn one_setting_is_that_of_a_training() {
        assert_eq!(names(""), ["8 × 128, auto"]);
        assert_eq!(names("--tangents 4 --len 64"), ["8 × 64, forward, K = 4"]);
        assert_eq!(
            names("--weights streamed --estimator reverse --rank 2"),
            ["8 × 128, reverse, r = 2, streamed"]
        );
        let refused = of("--len 64,128").unwrap_err();
        assert!(refused.exit == Exit::Usage && refused.to_string().contains("--len 64,128"), "{refused}");
        assert!(of("--estimator readout").unwrap_err().to_string().contains("readout"));
    }

    #[test]
    fn lists_are_crossed_and_the_exact_gradient_is_measured_once_for_all_k() {
        let line = "--sweep --len 64,128 --batch 1 --tangents 1,4 --estimator forward,reverse";
        let wanted = [
            "1 × 64, forward, K = 1",
            "1 × 128, forward, K = 1",
            "1 × 64, forward, K = 4",
            "1 × 128, forward, K = 4",
            "1 × 64, reverse",
            "1 × 128, reverse",
        ];
        assert_eq!(names(line), wanted);
        let numbers: Vec<String> = (1..=64).map(|n| n.to_string()).collect();
        let many = numbers.join(",");
        let refused = of(&format!("--sweep --rank {many} --batch {many}")).unwrap_err();
        assert!(refused.to_string().contains("4096 settings are more than the 512"), "{refused}");
    }

    #[test]
    fn the_usual_sweep_varies_each_axis() {
        let settings = of("--sweep").unwrap();
        assert!((8..=16).contains(&settings.len()), "{settings:?}");
        let differing = |of: fn(&Setting) -> String| {
            settings.iter().map(of).collect::<std::collections::BTreeSet<_>>().len()
        };
        let axes: [fn(&Setting) -> String; 6] = [
            |s| s.len.to_string(),
            |s| s.batch.to_string(),
            |s| format!("{:?}", s.tangents),
            |s| format!("{:?}", s.rank),
            |s| s.weights.clone(),
            |s| s.estimator.clone(),
        ];
        assert!(axes.into_iter().all(|axis| differing(axis) > 1));
    }
}
