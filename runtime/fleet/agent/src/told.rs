//! What was told already: announcements come again every few seconds, and what is wrong with them is news once.

use super::AgentEvent;

/// Kinds of what was told that are remembered; of more, the oldest may be told again.
const REMEMBERED: usize = 8;

/// What was told already.
#[derive(Default)]
pub(super) struct Told {
    events: Vec<AgentEvent>,
}

impl Told {
    /// Passes an event on, unless it says what was said already.
    pub(super) fn pass(&mut self, event: AgentEvent, watch: &mut dyn FnMut(AgentEvent)) {
        let repeats = matches!(
            event,
            AgentEvent::Dropped { .. } | AgentEvent::Unknown { .. } | AgentEvent::Unreadable { .. }
        );
        if repeats {
            if self.events.contains(&event) {
                return;
            }
            if self.events.len() == REMEMBERED {
                self.events.remove(0);
            }
            self.events.push(event.clone());
        }
        watch(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_and_again_is_told_once() {
        let dropped = |n: usize| AgentEvent::Dropped { topic: n.to_string(), problem: "version 2".into() };
        let (mut told, mut seen) = (Told::default(), Vec::new());
        let mut pass = |event| told.pass(event, &mut |event| seen.push(event));
        for n in [0, 1, 0, 1, 0] {
            pass(dropped(n));
        }
        pass(AgentEvent::Connected);
        pass(AgentEvent::Connected);
        (2..=REMEMBERED).for_each(|n| pass(dropped(n)));
        pass(dropped(0));
        assert_eq!(seen.len(), 2 + 2 + (REMEMBERED - 1) + 1);
    }
}
