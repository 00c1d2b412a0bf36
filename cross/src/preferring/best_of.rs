//! What `sprig calibrate --best-of K --json` says, read in one place.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Confidence@k and what it has to beat, shares of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestOf {
    /// Items.
    pub n: u64,
    /// Right when the surest of the first k candidates answers, by k.
    pub surest: Vec<(u64, f64)>,
    /// Right by majority of all candidates.
    pub majority: f64,
    /// How probable it is that a candidate's correctness is tied so closely to the others' confidences, its own known, where the
    /// surest candidate is the one to take; `None` where nothing varies.
    pub others: Option<f64>,
}

impl BestOf {
    /// Of the printed object.
    pub fn read(printed: &Value) -> Result<Self> {
        let at = printed["best_of"]["at"].as_array().context("calibrate --best-of printed no candidates")?;
        let share = |value: &Value| value.as_f64().context("calibrate --best-of printed no share");
        let by_k = |row: &Value| {
            Ok((row["k"].as_u64().context("a number of candidates")?, share(&row["confidence"])?))
        };
        let last = at.last().context("calibrate --best-of printed no candidates")?;
        Ok(Self {
            n: last["n"].as_u64().context("calibrate --best-of printed no number of items")?,
            surest: at.iter().map(by_k).collect::<Result<_>>()?,
            majority: share(&last["majority"])?,
            others: printed["best_of"]["dependence"]["p"].as_f64(),
        })
    }

    /// Right with as many candidates as there were.
    pub fn last(&self) -> f64 {
        self.surest.last().map_or(f64::NAN, |(_, accuracy)| *accuracy)
    }

    /// Whether more candidates are right at least as often, and the most of them more often than one.
    pub fn rises(&self) -> bool {
        let first = self.surest.first().map_or(f64::NAN, |(_, accuracy)| *accuracy);
        self.surest.windows(2).all(|pair| pair[0].1 <= pair[1].1) && first < self.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_printed_is_read() {
        let at =
            |k: u64, confidence: f64| json!({ "k": k, "n": 100, "confidence": confidence, "majority": 0.52 });
        let printed = json!({ "best_of": {
            "at": [at(1, 0.5), at(4, 0.55), at(8, 0.6)], "dependence": { "n": 100, "correlation": 0.1, "p": 0.2 },
        } });
        let found = BestOf::read(&printed).unwrap();
        assert_eq!(
            (found.surest.as_slice(), found.last()),
            ([(1, 0.5), (4, 0.55), (8, 0.6)].as_slice(), 0.6)
        );
        assert!(found.rises() && found.others == Some(0.2));
        assert!(!BestOf { surest: vec![(1, 0.5), (4, 0.6), (8, 0.55)], ..found }.rises());
        assert!(BestOf::read(&json!({ "n": 1 })).is_err());
    }
}
