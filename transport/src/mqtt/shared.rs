//! What a link and its thread share: what waits to go out, and what has come in.

use super::state::{Change, Incoming, Outgoing, State, size};
use crate::link::{Event, Farewell, LinkError, MAX_PAYLOAD, Traffic};
use crate::rules;
use bytes::Bytes;
use rumqttc::ManualAck;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(super) struct Shared {
    state: Mutex<State>,
    /// Something came in, or the link has ended.
    arrived: Condvar,
    /// Something was acknowledged, or the link has ended.
    room: Condvar,
    /// There is something for the thread to do.
    work: Notify,
    /// The thread shall end at once.
    abandoned: Notify,
    queue_bytes: usize,
    inbox_bytes: usize,
}

/// What the thread shall do next.
pub(super) enum Job {
    Acknowledge(Vec<ManualAck>),
    Change(Change),
    Publish(Outgoing),
    /// Everything is acknowledged and the link is closing.
    Disconnect,
    Wait,
}

impl Shared {
    pub(super) fn new(queue_bytes: usize, inbox_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            work: Notify::new(),
            abandoned: Notify::new(),
            queue_bytes,
            inbox_bytes,
        }
    }

    // For the link.

    pub(super) fn subscribe(&self, filter: &str) -> Result<(), LinkError> {
        let mut state = self.open()?;
        if !state.filters.iter().any(|known| known == filter) {
            state.filters.push(filter.to_owned());
            state.changes.push_back(Change::Subscribe(filter.to_owned()));
            self.work.notify_one();
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> Result<(), LinkError> {
        let mut state = self.open()?;
        let known = state.filters.len();
        state.filters.retain(|known| known != filter);
        if state.filters.len() < known {
            state.changes.push_back(Change::Unsubscribe(filter.to_owned()));
            self.work.notify_one();
        }
        Ok(())
    }

    pub(super) fn publish(
        &self,
        topic: &str,
        payload: Vec<u8>,
        retain: bool,
        patience: Duration,
    ) -> Result<(), LinkError> {
        let until = Instant::now() + patience;
        let mut state = self.open()?;
        let bytes = size(topic, &payload);
        while state.queued > 0 && state.queued + bytes > self.queue_bytes {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (queued, limit) = (state.queued, self.queue_bytes);
                return Err(LinkError::Busy { queued, limit, waited: patience });
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.check_open()?;
        }
        state.enqueue(topic.to_owned(), payload, retain);
        self.work.notify_one();
        Ok(())
    }

    /// Bytes that the broker has not answered for.
    pub(super) fn queued(&self) -> usize {
        self.lock().queued
    }

    pub(super) fn next(&self, until: Instant) -> Result<Option<Event>, LinkError> {
        let mut state = self.lock();
        loop {
            match state.take() {
                Some(Incoming::Event(event)) => return Ok(Some(event)),
                Some(Incoming::Error(error)) => return Err(error),
                Some(Incoming::Message { topic, payload, ack }) => {
                    state.inbox_bytes -= size(&topic, &payload);
                    let connection = state.connection;
                    if let Some((_, ack)) = ack.filter(|(of, _)| *of == connection) {
                        state.put_off -= 1;
                        state.acks.push(ack);
                        self.work.notify_one();
                    }
                    drop(state);
                    return Ok(Some(Event::Message { topic, payload: payload.into() }));
                }
                None => {}
            }
            state.check_open()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    /// Queues the farewell and waits until the thread has sent all and ended.
    pub(super) fn close(&self, farewell: Option<Farewell>, until: Instant) -> Result<(), LinkError> {
        let begun = Instant::now();
        let mut state = self.open()?;
        if let Some((topic, payload)) = farewell {
            state.enqueue(topic, payload, true);
        }
        state.closing = true;
        self.work.notify_one();
        while state.ended.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (queued, limit) = (state.queued, self.queue_bytes);
                return Err(LinkError::Busy { queued, limit, waited: begun.elapsed() });
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    pub(super) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    // For the thread.

    pub(super) async fn until_abandoned(&self) {
        self.abandoned.notified().await;
    }

    pub(super) async fn until_work(&self) {
        self.work.notified().await;
    }

    /// A connection begins: nothing is sent on it yet, and these are the filters to subscribe to.
    pub(super) fn begin(&self) -> Vec<String> {
        let mut state = self.lock();
        state.connection += 1;
        state.sent = 0;
        state.acks.clear();
        state.put_off = 0;
        state.changes.clear();
        state.changing = false;
        state.filters.clone()
    }

    /// The next thing to do; with `full`, nothing that waits for an acknowledgement of its own.
    pub(super) fn job(&self, full: bool) -> Job {
        let mut state = self.lock();
        if !state.acks.is_empty() {
            return Job::Acknowledge(std::mem::take(&mut state.acks));
        }
        if let Some(change) = state.changes.pop_front() {
            state.changing = true;
            return Job::Change(change);
        }
        if full {
            return Job::Wait;
        }
        if let Some(next) = state.queue.get(state.sent).cloned() {
            state.sent += 1;
            state.traffic.up += rules::packet_bytes(&next.topic, &next.payload);
            return Job::Publish(next);
        }
        if state.closing && state.queue.is_empty() { Job::Disconnect } else { Job::Wait }
    }

    /// The broker has answered for a change.
    pub(super) fn changed(&self) {
        self.lock().changing = false;
        self.arrived.notify_all();
    }

    /// The broker has answered for a message: it is done with.
    pub(super) fn done(&self, id: u64) {
        let mut state = self.lock();
        // It is among the first `sent`, mostly the very first.
        if let Some(at) = state.queue.iter().position(|waiting| waiting.id == id)
            && let Some(done) = state.queue.remove(at)
        {
            state.queued -= size(&done.topic, &done.payload);
            state.sent -= 1;
            self.room.notify_all();
        }
    }

    /// Drops the messages that the broker will never take, and says where they should have gone.
    pub(super) fn drop_larger(&self, packet: u32) -> Vec<String> {
        let mut state = self.lock();
        state.sent = 0;
        let large = |m: &Outgoing| rules::packet_bytes(&m.topic, &m.payload) > u64::from(packet);
        let dropped = state.queue.iter().filter(|m| large(m)).map(|m| m.topic.clone()).collect();
        state.queue.retain(|m| !large(m));
        state.queued = state.queue.iter().map(|m| size(&m.topic, &m.payload)).sum();
        self.room.notify_all();
        dropped
    }

    /// A message has come. It is acknowledged now if the inbox has room, else when it is taken; without a way to
    /// make the broker wait (`ack` is none: QoS 0), what does not fit is dropped.
    pub(super) fn receive(&self, topic: &Bytes, payload: Bytes, ack: Option<ManualAck>) {
        let mut state = self.lock();
        state.traffic.down += rules::packet_bytes_of(topic.len(), payload.len());
        let topic = std::str::from_utf8(topic).ok().map(str::to_owned);
        // No fleet's message: too long for one, or not even text.
        let topic = topic.filter(|_| payload.len() <= MAX_PAYLOAD);
        let room = state.inbox_bytes + topic.as_ref().map_or(0, |t| size(t, &payload)) <= self.inbox_bytes;
        // MQTT wants acknowledgements in the order of the messages: none overtakes one that is put off.
        let now = room && state.put_off == 0 || topic.is_none();
        let later = match ack {
            Some(ack) if now => {
                state.acks.push(ack);
                self.work.notify_one();
                None
            }
            Some(ack) => {
                state.put_off += 1;
                Some((state.connection, ack))
            }
            None if room => None,
            None => return,
        };
        if let Some(topic) = topic {
            state.inbox_bytes += size(&topic, &payload);
            state.inbox.push_back(Incoming::Message { topic, payload, ack: later });
            self.arrived.notify_all();
        }
    }

    /// The session stands.
    pub(super) fn connected(&self) {
        let mut state = self.lock();
        state.connected = true;
        state.inbox.push_back(Incoming::Event(Event::Connected));
        self.arrived.notify_all();
    }

    /// Only the latest of a row of errors waits.
    pub(super) fn complain(&self, error: LinkError) {
        let mut state = self.lock();
        if let Some(Incoming::Error(_)) = state.inbox.back() {
            state.inbox.pop_back();
        }
        state.inbox.push_back(Incoming::Error(error));
        self.arrived.notify_all();
    }

    /// The connection is lost, or none came about. What nobody has heard of the attempts before is forgotten: a link
    /// that nobody listens to stays small.
    pub(super) fn lost(&self, why: String) {
        let mut state = self.lock();
        state.sent = 0;
        state.connected = false;
        state.forget_attempts();
        state.inbox.push_back(Incoming::Event(Event::Disconnected(why)));
        self.arrived.notify_all();
    }

    /// Nothing comes after this.
    pub(super) fn ended(&self, why: &str) {
        self.lock().ended.get_or_insert_with(|| why.to_owned());
        self.arrived.notify_all();
        self.room.notify_all();
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, LinkError> {
        let state = self.lock();
        state.check_open()?;
        Ok(state)
    }

    /// Every change under the lock is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
