//! How many questions a minute a door takes.

use crate::question::Refusal;
use std::time::{Duration, Instant};

/// A bucket of as many questions as may come in a minute, which fills again evenly.
#[derive(Debug)]
pub struct Rate {
    limit: u32,
    left: f64,
    seen: Instant,
}

impl Rate {
    /// Of `limit` questions a minute; at least 1.
    pub fn new(limit: u32, now: Instant) -> Self {
        let limit = limit.max(1);
        Self { limit, left: limit.into(), seen: now }
    }

    /// Takes a question.
    ///
    /// # Errors
    /// [`Refusal::TooOften`], with the time until the next may come.
    pub fn take(&mut self, now: Instant) -> Result<(), Refusal> {
        let limit = f64::from(self.limit);
        let since = now.saturating_duration_since(self.seen).as_secs_f64();
        self.left = (self.left + since * limit / 60.0).min(limit);
        self.seen = now;
        if self.left < 1.0 {
            let seconds = Duration::from_secs_f64((1.0 - self.left) * 60.0 / limit).as_secs() + 1;
            return Err(Refusal::TooOften { limit: self.limit, seconds });
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_questions() {
        let start = Instant::now();
        let mut rate = Rate::new(6, start);
        assert!((0..6).all(|_| rate.take(start).is_ok()));
        assert_eq!(rate.take(start), Err(Refusal::TooOften { limit: 6, seconds: 11 }));
        assert!(rate.take(start + Duration::from_secs(10)).is_ok());
        assert!(rate.take(start + Duration::from_secs(10)).is_err());
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| rate.take(later).is_ok()).count(), 6);
    }
}
