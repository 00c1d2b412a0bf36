//! What a message from a device is, before anyone believes it.

use crate::event::{Event, Unreadable};
use sprig_transport::messages::{DeviceId, MessageError, Presence, Report, Update, Want};
use sprig_transport::topics::{Topic, Topics};

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
