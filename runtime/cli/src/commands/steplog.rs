//! The steps of a run, thinned so that a run of any length keeps at most a fixed number of them.

use serde::{Deserialize, Serialize};
use sprig_report::record::Step;

/// Most steps kept: as many as a chart shows. 32 bytes each, 16 KiB in all, and as text in a checkpoint 50 KiB,
/// which the plan counts with the program.
const MOST: usize = 512;

/// Every step until there are [`MOST`]; then every other one, and so on. First, last and sums are exact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepLog {
    kept: Vec<Step>,
    /// Steps 1, 1 + stride, 1 + 2·stride… are kept.
    stride: u64,
    last: Option<Step>,
    count: u64,
    ms: f64,
}

impl StepLog {
    /// An empty log; it never grows.
    pub fn new() -> Self {
        Self { kept: Vec::with_capacity(MOST), stride: 1, last: None, count: 0, ms: 0.0 }
    }

    /// Adds the newest step.
    pub fn push(&mut self, step: Step) {
        self.count += 1;
        self.ms += step.ms;
        if step.step.saturating_sub(1).is_multiple_of(self.stride) {
            if self.kept.len() == MOST {
                self.stride = self.stride.saturating_mul(2);
                let stride = self.stride;
                self.kept.retain(|s| s.step.saturating_sub(1).is_multiple_of(stride));
            }
            if step.step.saturating_sub(1).is_multiple_of(self.stride) {
                self.kept.push(step.clone());
            }
        }
        self.last = Some(step);
    }

    /// The first step.
    pub fn first(&self) -> Option<&Step> {
        self.kept.first()
    }

    /// The newest step.
    pub fn last(&self) -> Option<&Step> {
        self.last.as_ref()
    }

    /// Steps taken, kept or not.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Time of all of them, milliseconds.
    pub fn total_ms(&self) -> f64 {
        self.ms
    }

    /// The times of the kept ones, milliseconds.
    pub fn times(&self) -> Vec<f64> {
        self.kept.iter().map(|s| s.ms).collect()
    }

    /// The kept steps, and the last.
    pub fn steps(&self) -> Vec<Step> {
        let unkept =
            self.last.iter().filter(|last| self.kept.last().is_none_or(|kept| kept.step < last.step));
        self.kept.iter().chain(unkept).cloned().collect()
    }

    /// Makes room again after it was read back.
    pub fn reserved(mut self) -> Self {
        self.kept.truncate(MOST);
        self.kept.reserve_exact(MOST - self.kept.len());
        self.stride = self.stride.max(1);
        self
    }
}

/// The value below which a share `q` of `values` lies; 0 of none.
pub fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * q).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_thinned_evenly_and_keeps_its_ends() {
        let mut log = StepLog::new();
        let capacity = log.kept.capacity();
        for step in 1..=10_000 {
            log.push(Step { step, loss: 1.0 / step as f64, lr: 0.1, ms: 2.0 });
        }
        let steps = log.steps();
        assert!(steps.len() <= MOST + 1 && steps.len() > MOST / 2, "{}", steps.len());
        assert_eq!((steps[0].step, steps[1].step, steps[steps.len() - 1].step), (1, 33, 10_000));
        assert_eq!((log.count(), log.total_ms(), log.kept.capacity()), (10_000, 20_000.0, capacity));
    }
}
