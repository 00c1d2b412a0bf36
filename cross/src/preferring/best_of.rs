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
    /// Interval of what a candidate's correctness gains from the others' confidences, its own known: around 0 where the surest
    /// candidate is the one to take.
    pub others: Option<(f64, f64)>,
}

impl BestOf {
    /// Of the printed object.
    pub fn read(printed: &Value) -> Result<Self> {
        let part = &printed["best_of"];
        let share = |value: &Value| value.as_f64().context("calibrate --best-of printed no share");
        let by_k = part["confidence"].as_object().context("calibrate --best-of printed no accuracy by k")?;
        let mut surest = Vec::new();
        for (k, accuracy) in by_k {
            surest.push((k.parse().context("a number of candidates")?, share(accuracy)?));
        }
        surest.sort_by_key(|(k, _)| *k);
        let others = part["others_interval"].as_array().map(Vec::as_slice);
        Ok(Self {
            n: part["n"].as_u64().context("calibrate --best-of printed no number of items")?,
            surest,
            majority: share(&part["majority"])?,
            others: match others {
                Some([low, high]) => Some((share(low)?, share(high)?)),
                _ => None,
            },
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
        let printed = json!({ "best_of": {
            "n": 100, "confidence": { "8": 0.6, "1": 0.5, "4": 0.55 }, "majority": 0.52, "others_interval": [-0.1, 0.2]
        } });
        let found = BestOf::read(&printed).unwrap();
        assert_eq!(
            (found.surest.as_slice(), found.last()),
            ([(1, 0.5), (4, 0.55), (8, 0.6)].as_slice(), 0.6)
        );
        assert!(found.rises() && found.others == Some((-0.1, 0.2)));
        assert!(!BestOf { surest: vec![(1, 0.5), (4, 0.6), (8, 0.55)], ..found }.rises());
        assert!(BestOf::read(&json!({ "n": 1 })).is_err());
    }
}
