//! A link whose use is watched: each look for an event is a turn of the loop.

use super::Pulse;
use sprig_transport::link::{Event, Farewell, Link, LinkError, Traffic};
use std::sync::Arc;
use std::time::Duration;

/// A link, and what is known of it.
pub struct Watched<L> {
    link: L,
    pulse: Arc<Pulse>,
    /// What was counted of its traffic: another link begins anew.
    counted: Traffic,
}

impl<L: Link> Watched<L> {
    /// Watches a link.
    pub fn new(link: L, pulse: Arc<Pulse>) -> Self {
        Self { link, pulse, counted: Traffic::default() }
    }

    fn count(&mut self) {
        let (all, before) = (self.link.traffic(), self.counted);
        self.counted = all;
        self.pulse.carried(Traffic {
            up: all.up.saturating_sub(before.up),
            down: all.down.saturating_sub(before.down),
        });
    }
}

impl<L: Link> Link for Watched<L> {
    fn subscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        self.link.subscribe(filter)
    }

    fn unsubscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        self.link.unsubscribe(filter)
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        self.link.publish(topic, payload, retain)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError> {
        self.pulse.turn();
        let next = self.link.next(wait);
        self.count();
        match &next {
            Ok(Some(Event::Connected)) => self.pulse.connected(),
            Ok(Some(Event::Disconnected(why))) => self.pulse.disconnected(why.clone()),
            Err(e @ (LinkError::Refused { .. } | LinkError::Untrusted { .. } | LinkError::Dates { .. })) => {
                self.pulse.disconnected(e.to_string());
            }
            _ => {}
        }
        next
    }

    fn queued(&self) -> usize {
        self.link.queued()
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }

    fn close(self: Box<Self>, farewell: Option<Farewell>) -> Result<(), LinkError> {
        Box::new(self.link).close(farewell)
    }
}
