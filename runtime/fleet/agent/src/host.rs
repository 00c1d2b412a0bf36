//! Where an agent runs: its settings, its link, and who may stop it.

use super::AgentEvent;
use sprig_device::{BoardError, Detected};
use sprig_protocol::FleetError;
use sprig_protocol::settings::{DeviceSettings, SettingsError};
use sprig_run::RunError;
use sprig_transport::link::{Event, Link};
use sprig_transport::messages::Presence;
use sprig_transport::renewal::Renewal;
use std::path::Path;
use std::time::Duration;

/// Longest wait for the link before the agent looks around again: how soon an interrupt is noticed.
pub(super) const GLANCE: Duration = Duration::from_millis(200);

/// This program's version, as a device says it.
pub(super) const SOFTWARE: &str = env!("CARGO_PKG_VERSION");

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
    /// Certificates of the connection.
    pub renewal: Renewal,
}

/// The last will: what the broker says for us when we are gone.
pub fn absent(session: u64) -> Presence {
    Presence {
        online: false,
        session,
        board: String::new(),
        software: String::new(),
        budget: 0,
        rate: 0.0,
        tangents: 0,
        examples: 0,
    }
}

impl Host<'_> {
    /// The board that this is, or that the settings take it for.
    pub(super) fn board(&self) -> Result<Detected, FleetError> {
        let root = Path::new("/");
        match &self.settings.agent.board {
            None => Ok(sprig_device::detect(root).map_err(RunError::from)?),
            Some(name) => sprig_device::detect_as(root, name).map_err(|e| match e {
                BoardError::Unknown { .. } => {
                    SettingsError::value("agent", "board", name, e.to_string()).into()
                }
                other => RunError::from(other).into(),
            }),
        }
    }

    /// Has the broker send the job that it keeps.
    pub(super) fn ask_for_the_job(&mut self) -> Result<(), FleetError> {
        let job = self.settings.fleet.topics()?.job();
        self.link.unsubscribe(&job)?;
        Ok(self.link.subscribe(&job)?)
    }

    /// The next event of the link. Refusals that pass are waited out.
    pub(super) fn next(
        &mut self,
        wait: Duration,
        watch: &mut dyn FnMut(AgentEvent),
    ) -> Result<Option<Event>, FleetError> {
        for told in self.renewal.turn(self.link, self.connected)? {
            watch(AgentEvent::of_certificate(told));
        }
        match self.link.next(wait) {
            Err(e) if e.is_worth_waiting(self.connected) => {
                watch(AgentEvent::Disconnected { reason: e.to_string() });
                Ok(None)
            }
            other => {
                let event = other?;
                self.connected |= event == Some(Event::Connected);
                if let Some(Event::Message { topic, payload }) = &event {
                    self.renewal.hear(topic, payload).map(AgentEvent::of_certificate).map(&mut *watch);
                }
                Ok(event)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::World;
    use sprig_transport::link::{Farewell, LinkError, Traffic};

    /// A link that says these things, one after another.
    struct Told(Vec<Result<Option<Event>, LinkError>>);

    impl Link for Told {
        fn subscribe(&mut self, _: &str) -> Result<(), LinkError> {
            Ok(())
        }

        fn unsubscribe(&mut self, _: &str) -> Result<(), LinkError> {
            Ok(())
        }

        fn publish(&mut self, _: &str, _: Vec<u8>, _: bool) -> Result<(), LinkError> {
            Ok(())
        }

        fn next(&mut self, _: Duration) -> Result<Option<Event>, LinkError> {
            self.0.remove(0)
        }

        fn queued(&self) -> usize {
            0
        }

        fn traffic(&self) -> Traffic {
            Traffic::default()
        }

        fn close(self: Box<Self>, _: Option<Farewell>) -> Result<(), LinkError> {
            Ok(())
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_waited_out_from_the_start_and_a_wrong_broker_is_not() {
        let world = World::new(false);
        let broker = || "here:1".to_owned();
        let dates = || Err(LinkError::Dates { broker: broker(), why: "the clock here says 1970".to_owned() });
        let other = || Err(LinkError::Untrusted { broker: broker(), why: "another name".to_owned() });
        let mut link = Told(vec![dates(), dates(), other(), Ok(Some(Event::Connected)), other(), dates()]);
        let mut host = Host {
            settings: &world.settings,
            link: &mut link,
            session: 1,
            stop: &|| false,
            connected: false,
            renewal: world.settings.fleet.renewal().unwrap(),
        };
        let mut said = Vec::new();
        let mut next = |host: &mut Host<'_>| host.next(Duration::ZERO, &mut |event| said.push(event));
        assert!(matches!(next(&mut host), Ok(None)) && matches!(next(&mut host), Ok(None)));
        assert!(next(&mut host).is_err());
        assert!(matches!(next(&mut host), Ok(Some(Event::Connected))));
        assert!(matches!(next(&mut host), Ok(None)) && matches!(next(&mut host), Ok(None)));
        let shown =
            |e: &AgentEvent| matches!(e, AgentEvent::Disconnected { reason } if reason.contains("here:1"));
        assert!(said.len() == 4 && said.iter().all(shown), "{said:?}");
    }
}
