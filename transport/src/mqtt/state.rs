//! What waits to go out, and what has come in.

use crate::link::{Event, LinkError, Traffic};
use bytes::Bytes;
use rumqttc::ManualAck;
use std::collections::VecDeque;

/// What a waiting message costs besides its topic and payload.
const OVERHEAD: usize = 64;

#[derive(Default)]
pub(super) struct State {
    /// The first `sent` have been given to the present connection; each leaves when it is acknowledged.
    pub(super) queue: VecDeque<Outgoing>,
    pub(super) queued: usize,
    pub(super) sent: usize,
    pub(super) next_id: u64,
    pub(super) filters: Vec<String>,
    /// Changes since the connection began.
    pub(super) changes: VecDeque<Change>,
    /// One of them is under way.
    pub(super) changing: bool,
    pub(super) inbox: VecDeque<Incoming>,
    pub(super) inbox_bytes: usize,
    pub(super) acks: Vec<ManualAck>,
    /// Messages of the present connection that are acknowledged when they are taken.
    pub(super) put_off: usize,
    /// The present connection stands.
    pub(super) connected: bool,
    /// Counts connections: an acknowledgement belongs to the one its message came by.
    pub(super) connection: u64,
    pub(super) traffic: Traffic,
    pub(super) closing: bool,
    pub(super) ended: Option<String>,
}

#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
}

pub(super) enum Change {
    Subscribe(String),
    Unsubscribe(String),
}

/// What has come in and waits to be taken.
pub(super) enum Incoming {
    Event(Event),
    Error(LinkError),
    Message { topic: String, payload: Bytes, ack: Option<(u64, ManualAck)> },
}

impl State {
    pub(super) fn check_open(&self) -> Result<(), LinkError> {
        self.ended.as_ref().map_or(Ok(()), |why| Err(LinkError::Closed(why.clone())))
    }

    /// What came in next. [`Event::Connected`] waits for the subscriptions made since the connection began.
    pub(super) fn take(&mut self) -> Option<Incoming> {
        let settling = self.changing || !self.changes.is_empty();
        match self.inbox.front() {
            Some(Incoming::Event(Event::Connected)) if settling && self.connected => None,
            _ => self.inbox.pop_front(),
        }
    }

    /// Drops the events at the inbox's end that tell of connections: an end and an error, or a connection that came
    /// and went.
    pub(super) fn forget_attempts(&mut self) {
        loop {
            let mut latest = self.inbox.iter().rev();
            let drop = match (latest.next(), latest.next()) {
                (Some(Incoming::Event(_)), _) => 1,
                (Some(Incoming::Error(_)), Some(Incoming::Event(Event::Disconnected(_)))) => 2,
                _ => return,
            };
            self.inbox.truncate(self.inbox.len() - drop);
        }
    }

    pub(super) fn enqueue(&mut self, topic: String, payload: Vec<u8>, retain: bool) {
        self.queued += size(&topic, &payload);
        self.next_id += 1;
        self.queue.push_back(Outgoing { id: self.next_id, topic, payload: payload.into(), retain });
    }
}

/// What a message counts against the bounds.
pub(super) fn size(topic: &str, payload: &[u8]) -> usize {
    OVERHEAD + topic.len() + payload.len()
}
