//! What people are told of a connection that is lost: each cause once, then now and then how long it has been.

use std::time::{Duration, Instant};

/// Time between two lines about an outage that nothing new is known of.
const PAUSE: Duration = Duration::from_secs(60);
/// Causes that are told apart, at most: parts of them come from other machines.
const CAUSES: usize = 16;

/// An outage, or that there is none.
#[derive(Debug, Default)]
pub struct Outage {
    since: Option<Instant>,
    /// When the last line was.
    said: Option<Instant>,
    causes: Vec<String>,
}

impl Outage {
    /// The connection is lost, or did not come about, for this reason; what is to be said of it, if anything.
    pub fn lost(&mut self, cause: &str, now: Instant) -> Option<String> {
        let since = *self.since.get_or_insert(now);
        let known = self.causes.len() >= CAUSES || self.causes.iter().any(|known| known == cause);
        if known && self.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            return None;
        }
        self.said = Some(now);
        if known {
            return Some(format!("no connection for {} ({cause}); connecting again", gone(now, since)));
        }
        self.causes.push(cause.to_owned());
        Some(format!("connection lost ({cause}); connecting again"))
    }

    /// The connection is there, which is said as `connected`; also how long it was not, if it was known to be gone.
    pub fn over(&mut self, connected: &str, now: Instant) -> String {
        match std::mem::take(self).since {
            Some(since) => format!("{connected} again, after {}", gone(now, since)),
            None => connected.to_owned(),
        }
    }
}

/// The time since then, for people.
fn gone(now: Instant, since: Instant) -> String {
    match now.duration_since(since).as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_a_cause_then_once_a_minute_and_its_end() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let lost = |cause| Some(format!("connection lost ({cause}); connecting again"));
        assert_eq!(outage.over("connected", at(0)), "connected");
        assert_eq!(outage.lost("closed by the peer", at(1)), lost("closed by the peer"));
        assert_eq!(outage.lost("refused", at(1)), lost("refused"));
        // Both causes are known, however they take turns.
        let told: Vec<_> = (2..32)
            .filter_map(|second| {
                outage.lost(["refused", "closed by the peer"][second as usize % 2], at(second))
            })
            .collect();
        assert_eq!(told, [""; 0]);
        let still = |time| Some(format!("no connection for {time} (refused); connecting again"));
        assert_eq!(outage.lost("refused", at(61)), still("60 s"));
        assert_eq!(
            (outage.lost("refused", at(120)), outage.lost("refused", at(121))),
            (None, still("2 min"))
        );
        assert_eq!(outage.over("connected", at(125)), "connected again, after 2 min");
        // Another outage is news.
        assert_eq!(outage.over("connected", at(126)), "connected");
        assert_eq!(outage.lost("refused", at(127)), lost("refused"));
    }
}
