//! The adapter's file on a device: written when its settings say so, and what becomes of a write that fails.

use super::{Agent, AgentEvent, State, Worker};
use sprig_protocol::FleetError;
use sprig_protocol::settings::{AdapterWhen, AgentSettings};
use std::path::Path;

/// Writes the fleet's adapter where and when the settings say.
pub(crate) struct Keeper<'s> {
    out: Option<&'s Path>,
    when: AdapterWhen,
    /// Rounds applied to the adapter that was written last, or that could not be.
    tried: Option<u32>,
    failed: Option<FleetError>,
}

impl<'s> Keeper<'s> {
    pub(crate) fn new(settings: &'s AgentSettings) -> Self {
        Self { out: settings.adapter.as_deref(), when: settings.adapter_when, tried: None, failed: None }
    }

    /// Writes the adapter if it is due. A write that fails is told, and tried again with the next round.
    pub(crate) fn look<W: Worker>(&mut self, agent: &mut Agent<'_, W>, watch: &mut dyn FnMut(AgentEvent)) {
        let Some(out) = self.out else { return };
        let round = agent.worker().round();
        let due = match agent.state() {
            State::Finished => true,
            _ => self.when == AdapterWhen::Round && round > 0 && agent.is_level(),
        };
        if !due || self.tried.replace(round) == Some(round) {
            return;
        }
        let (path, digest) = (out.to_owned(), agent.worker().digest().to_string());
        match agent.worker_mut().write(out) {
            Ok(()) => {
                self.failed = None;
                watch(AgentEvent::Adapter { round, path, digest });
            }
            Err(e) => {
                watch(AgentEvent::AdapterFailed { round, path, problem: e.to_string() });
                self.failed = Some(e);
            }
        }
    }

    /// Why the last write failed, if it did.
    pub(crate) fn failed(&mut self) -> Option<FleetError> {
        self.failed.take()
    }
}
