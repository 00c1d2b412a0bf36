//! Where an agent runs: its settings, its link, and who may stop it.

use super::AgentEvent;
use sprig_protocol::FleetError;
use sprig_protocol::settings::DeviceSettings;
use sprig_transport::link::{Event, Link};
use std::time::Duration;

/// Longest wait for the link before the agent looks around again: how soon an interrupt is noticed.
pub(super) const GLANCE: Duration = Duration::from_millis(200);

/// Where the agent runs.
pub struct Host<'a> {
    /// Its configuration.
    pub settings: &'a DeviceSettings,
    /// The connection; its will says that we are gone.
    pub link: &'a mut dyn Link,
    /// What [`absent`] was given.
    pub session: u64,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Whether the broker has let us in: from then on, a refusal is waited out.
    pub connected: bool,
}

impl Host<'_> {
    /// The next event of the link. Refusals that pass are waited out.
    pub(super) fn next(
        &mut self,
        wait: Duration,
        watch: &mut dyn FnMut(AgentEvent),
    ) -> Result<Option<Event>, FleetError> {
        match self.link.next(wait) {
            Err(e) if e.is_worth_waiting(self.connected) => {
                watch(AgentEvent::Disconnected { reason: e.to_string() });
                Ok(None)
            }
            other => {
                let event = other?;
                self.connected |= event == Some(Event::Connected);
                Ok(event)
            }
        }
    }
}
