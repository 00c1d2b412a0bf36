//! Keeps single directional derivatives from wrecking a run: non-finite ones are skipped and counted, huge ones are
//! clipped at ten times the running median of their size (docs/algorithm.md, 4). The applied value is the one that is sent.

use serde::{Deserialize, Serialize};

/// Sizes the median looks back over.
const WINDOW: usize = 256;
/// Sizes that must be known before anything is clipped.
const WARM: usize = 32;
/// A scalar larger than this many medians is clipped unless somebody says otherwise.
pub const CLIP: f32 = 10.0;

/// Running judgement of scalars; part of a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Guard {
    /// Medians that a scalar may measure; 0 for any number of them.
    #[serde(default = "usual")]
    clip: f32,
    sizes: Vec<f32>,
    next: usize,
    /// Scalars judged.
    pub seen: u64,
    /// Scalars dropped because they were not finite.
    pub skipped: u64,
    /// Scalars cut down.
    pub clipped: u64,
}

fn usual() -> f32 {
    CLIP
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(CLIP)
    }
}

impl Guard {
    /// One that clips at `clip` times the median; 0 for none that clips.
    pub fn new(clip: f32) -> Self {
        Self { clip, sizes: Vec::with_capacity(WINDOW), next: 0, seen: 0, skipped: 0, clipped: 0 }
    }

    /// The scalar to apply and to send.
    pub fn admit(&mut self, s: f32) -> f32 {
        self.seen += 1;
        if !s.is_finite() {
            self.skipped += 1;
            return 0.0;
        }
        let limit = self.limit();
        if self.sizes.len() < WINDOW {
            self.sizes.push(s.abs());
        } else {
            self.sizes[self.next] = s.abs();
            self.next = (self.next + 1) % WINDOW;
        }
        if s.abs() > limit {
            self.clipped += 1;
            return limit.copysign(s);
        }
        s
    }

    fn limit(&self) -> f32 {
        if self.clip == 0.0 || self.sizes.len() < WARM {
            return f32::INFINITY;
        }
        let mut sorted = [0.0f32; WINDOW];
        let sorted = &mut sorted[..self.sizes.len()];
        sorted.copy_from_slice(&self.sizes);
        let (_, median, _) = sorted.select_nth_unstable_by(self.sizes.len() / 2, f32::total_cmp);
        // A median of zero (every example solved) must not clip the first signal that comes back.
        if *median > 0.0 { self.clip * *median } else { f32::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_scalars_are_skipped_and_huge_ones_clipped() {
        let mut guard = Guard::default();
        for i in 0..WINDOW {
            assert_eq!(guard.admit(if i % 2 == 0 { 1.0 } else { -1.0 }).abs(), 1.0);
        }
        assert_eq!(guard.admit(f32::NAN), 0.0);
        assert_eq!(guard.admit(f32::INFINITY), 0.0);
        assert_eq!(guard.admit(-50.0), -10.0);
        assert_eq!(guard.admit(9.0), 9.0);
        assert_eq!((guard.skipped, guard.clipped), (2, 1));
        // The paper's clips nothing; what is no number is left out all the same.
        for (clip, applied) in [(0.0, -50.0), (3.0, -3.0)] {
            let mut guard = Guard::new(clip);
            (0..WINDOW).for_each(|_| assert_eq!(guard.admit(1.0), 1.0));
            assert_eq!((guard.admit(-50.0), guard.admit(f32::NAN)), (applied, 0.0));
        }
    }
}
