//! What a message from a device is, before anyone believes it.

use crate::event::{Event, Unreadable};
use crate::folding::Tidings;
use sprig_transport::messages::{
    DeviceId, FleetTotal, MessageError, NameError, Presence, Report, Round, Update, Want,
};
use sprig_transport::topics::{Topic, Topics};

/// Topics that a coordinator listens to.
pub(super) struct Ears {
    own: Topics,
    /// Those of other fleets that are folded with its own, by their names.
    others: Vec<(String, Topics)>,
}

impl Ears {
    /// Those of the fleet whose topics are `own`, and of `others`.
    pub(super) fn new(own: Topics, others: &[String]) -> Result<Self, NameError> {
        let topics = |name: &String| Ok((name.clone(), Topics::new(name)?));
        Ok(Self { own, others: others.iter().map(topics).collect::<Result<_, _>>()? })
    }

    /// Filters of all of them.
    pub(super) fn filters(&self) -> Vec<String> {
        let others = self.others.iter().flat_map(|(_, topics)| [topics.round(), topics.totals()]);
        self.own.of_devices().into_iter().chain(others).collect()
    }

    /// The event that a message is; `None` for one that was not meant for a coordinator.
    pub(super) fn event(&self, topic: &str, payload: Vec<u8>) -> Option<Event> {
        let found = self.others.iter().find_map(|(name, topics)| Some((name, topics.parse(topic)?)));
        let Some((name, topic)) = found else { return event(&self.own, topic, payload) };
        let tidings = match topic {
            Topic::Round => Round::decode(&payload).map(Tidings::Round),
            Topic::Total => FleetTotal::decode(&payload).map(Tidings::Total),
            _ => return None,
        };
        Some(match tidings {
            Ok(tidings) => Event::Tidings { fleet: name.clone(), tidings },
            Err(_) => Event::Unreadable { device: None, why: Unreadable::Malformed },
        })
    }
}

/// The event that a message is; `None` for one that was not meant for a coordinator.
pub(super) fn event(topics: &Topics, topic: &str, payload: Vec<u8>) -> Option<Event> {
    match topics.parse(topic) {
        None => Some(Event::Unreadable { device: None, why: Unreadable::Malformed }),
        // An empty retained message removes the one before.
        Some(Topic::Presence(_)) if payload.is_empty() => None,
        Some(Topic::Presence(device)) => {
            let presence = Presence::decode(&payload);
            Some(read(device, presence, |device, presence| Event::Presence { device, presence }))
        }
        Some(Topic::Update(device)) => {
            let update = Update::decode(&payload);
            Some(read(device, update, |device, update| Event::Update { device, update, frame: payload }))
        }
        Some(Topic::Report(device)) => {
            let report = Report::decode(&payload);
            Some(read(device, report, |device, report| Event::Report { device, report, frame: payload }))
        }
        Some(Topic::Up { device, digest, chunk: n }) => {
            Some(Event::Chunk { device, digest, n, frame: payload })
        }
        Some(Topic::Want(device)) => {
            Some(read(device, Want::decode(&payload), |device, want| Event::Want { device, want }))
        }
        Some(_) => None,
    }
}

fn read<T>(
    device: DeviceId,
    message: Result<T, MessageError>,
    event: impl FnOnce(DeviceId, T) -> Event,
) -> Event {
    match message {
        Ok(message) => event(device, message),
        Err(error) => {
            let why = match error {
                MessageError::TooLarge { .. } => Unreadable::TooLarge,
                MessageError::Corrupt { .. } => Unreadable::Damaged,
                MessageError::Version { .. } => Unreadable::Version,
                MessageError::Field { .. } => Unreadable::Malformed,
            };
            Event::Unreadable { device: Some(device), why }
        }
    }
}
