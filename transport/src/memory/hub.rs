//! The hub's state: who is there, what they asked for, what is kept.

use super::{INBOX_BYTES, QUEUE_BYTES, lock};
use crate::link::{Event, Farewell, LinkError};
use crate::rules;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a waiting message costs besides its topic and payload.
const OVERHEAD: usize = 64;

#[derive(Default)]
pub(super) struct Inner {
    stopped: bool,
    sessions: HashMap<String, Session>,
    /// Sessions by filter. Those without wildcard are found by the topic itself: with thousands of clients, each
    /// listens to its own topics.
    exact: HashMap<String, Vec<Arc<Client>>>,
    wild: Vec<(String, Arc<Client>)>,
    retained: BTreeMap<String, Arc<[u8]>>,
    dropped: u64,
}

struct Session {
    client: Arc<Client>,
    will: Option<Farewell>,
    filters: Vec<String>,
    /// Published during an outage.
    queue: Vec<(String, Vec<u8>, bool)>,
    queued: usize,
}

/// The end of a session that a link holds.
#[derive(Default)]
pub(super) struct Client {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    down: u64,
    closed: bool,
}

/// A message is shared by all who wait for it.
enum Waiting {
    Event(Event),
    Message(Arc<str>, Arc<[u8]>),
}

impl Inner {
    pub(super) fn join(&mut self, id: &str, will: Option<Farewell>) -> Arc<Client> {
        if let Some(old) = self.sessions.get(id).map(|session| session.client.clone()) {
            self.leave(id, &old, true);
        }
        let client = Arc::new(Client::default());
        let session =
            Session { client: client.clone(), will, filters: Vec::new(), queue: Vec::new(), queued: 0 };
        self.sessions.insert(id.to_owned(), session);
        if !self.stopped {
            client.tell(Event::Connected);
        }
        client
    }

    pub(super) fn leave(&mut self, id: &str, client: &Arc<Client>, mourn: bool) {
        client.close();
        if self.session(id, client).is_err() {
            return;
        }
        let will = self.sessions.remove(id).and_then(|session| session.will);
        self.exact.retain(|_, clients| {
            clients.retain(|c| !Arc::ptr_eq(c, client));
            !clients.is_empty()
        });
        self.wild.retain(|(_, c)| !Arc::ptr_eq(c, client));
        if mourn && !self.stopped {
            self.mourn(will);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        id: &str,
        client: &Arc<Client>,
        filter: &str,
    ) -> Result<(), LinkError> {
        let session = self.session(id, client)?;
        if !session.filters.iter().any(|known| known == filter) {
            session.filters.push(filter.to_owned());
            if filter.contains(['+', '#']) {
                self.wild.push((filter.to_owned(), client.clone()));
            } else {
                self.exact.entry(filter.to_owned()).or_default().push(client.clone());
            }
        }
        if !self.stopped {
            self.recall(client, filter);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: &str,
        client: &Arc<Client>,
        filter: &str,
    ) -> Result<(), LinkError> {
        self.session(id, client)?.filters.retain(|known| known != filter);
        self.wild.retain(|(known, c)| known != filter || !Arc::ptr_eq(c, client));
        if let Some(clients) = self.exact.get_mut(filter) {
            clients.retain(|c| !Arc::ptr_eq(c, client));
        }
        Ok(())
    }

    pub(super) fn publish(
        &mut self,
        id: &str,
        client: &Arc<Client>,
        topic: &str,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<(), LinkError> {
        let stopped = self.stopped;
        let session = self.session(id, client)?;
        if !stopped {
            self.deliver(topic, payload.into(), retain);
            return Ok(());
        }
        let bytes = topic.len() + payload.len();
        if session.queued + bytes > QUEUE_BYTES {
            let (queued, limit) = (session.queued, QUEUE_BYTES);
            return Err(LinkError::Busy { queued, limit, waited: Duration::ZERO });
        }
        session.queued += bytes;
        session.queue.push((topic.to_owned(), payload, retain));
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for session in self.sessions.values() {
            session.client.lose("the hub was stopped");
        }
    }

    pub(super) fn start(&mut self) {
        self.stopped = false;
        let mut queues = Vec::new();
        for session in self.sessions.values_mut() {
            session.queued = 0;
            queues.append(&mut session.queue);
        }
        for session in self.sessions.values() {
            self.welcome(session);
        }
        for (topic, payload, retain) in queues {
            self.deliver(&topic, payload.into(), retain);
        }
    }

    pub(super) fn cut(&mut self, id: &str) {
        let Some(session) = self.sessions.get(id) else { return };
        session.client.lose("the connection was cut");
        self.mourn(session.will.clone());
        if let Some(session) = self.sessions.get(id) {
            self.welcome(session);
        }
    }

    pub(super) fn forget(&mut self) {
        self.retained.clear();
    }

    pub(super) fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.retained.get(topic).map(|payload| payload.to_vec())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The session that this client still holds: another of its name may have taken its place.
    fn session(&mut self, id: &str, client: &Arc<Client>) -> Result<&mut Session, LinkError> {
        match self.sessions.get_mut(id) {
            Some(session) if Arc::ptr_eq(&session.client, client) => Ok(session),
            _ => Err(closed()),
        }
    }

    fn mourn(&mut self, will: Option<Farewell>) {
        if let Some((topic, payload)) = will {
            self.deliver(&topic, payload.into(), true);
        }
    }

    fn welcome(&self, session: &Session) {
        for filter in &session.filters {
            self.recall(&session.client, filter);
        }
        session.client.tell(Event::Connected);
    }

    fn recall(&self, client: &Client, filter: &str) {
        for (topic, payload) in self.retained.iter().filter(|(topic, _)| rules::matches(filter, topic)) {
            client.offer(&topic.as_str().into(), payload);
        }
    }

    fn deliver(&mut self, topic: &str, payload: Arc<[u8]>, retain: bool) {
        if retain && payload.is_empty() {
            self.retained.remove(topic);
        } else if retain {
            self.retained.insert(topic.to_owned(), payload.clone());
        }
        let exact = self.exact.get(topic).into_iter().flatten();
        let wild =
            self.wild.iter().filter(|(filter, _)| rules::matches(filter, topic)).map(|(_, client)| client);
        let mut clients: Vec<_> = exact.chain(wild).collect();
        clients.sort_unstable_by_key(|client| Arc::as_ptr(client));
        clients.dedup_by_key(|client| Arc::as_ptr(client));
        let topic = topic.into();
        self.dropped += clients.iter().map(|client| u64::from(!client.offer(&topic, &payload))).sum::<u64>();
    }
}

impl Client {
    pub(super) fn take(&self, until: Instant) -> Result<Option<Event>, LinkError> {
        let mut inbox = lock(&self.inbox);
        loop {
            match inbox.waiting.pop_front() {
                Some(Waiting::Event(event)) => return Ok(Some(event)),
                Some(Waiting::Message(topic, payload)) => {
                    inbox.bytes -= size(&topic, &payload);
                    inbox.down += rules::packet_bytes(&topic, &payload);
                    drop(inbox);
                    let (topic, payload) = (topic.to_string(), payload.to_vec());
                    return Ok(Some(Event::Message { topic, payload }));
                }
                None if inbox.closed => return Err(closed()),
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let woken = self.arrived.wait_timeout(inbox, left);
            inbox = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn down(&self) -> u64 {
        lock(&self.inbox).down
    }

    fn tell(&self, event: Event) {
        lock(&self.inbox).waiting.push_back(Waiting::Event(event));
        self.arrived.notify_one();
    }

    fn offer(&self, topic: &Arc<str>, payload: &Arc<[u8]>) -> bool {
        let mut inbox = lock(&self.inbox);
        let bytes = inbox.bytes + size(topic, payload);
        if bytes > INBOX_BYTES {
            return false;
        }
        inbox.bytes = bytes;
        inbox.waiting.push_back(Waiting::Message(topic.clone(), payload.clone()));
        self.arrived.notify_one();
        true
    }

    /// What waits is lost with the session, but for the news of earlier sessions.
    fn lose(&self, why: &str) {
        let mut inbox = lock(&self.inbox);
        inbox.waiting.clear();
        inbox.bytes = 0;
        inbox.waiting.push_back(Waiting::Event(Event::Disconnected(why.to_owned())));
        self.arrived.notify_one();
    }

    fn close(&self) {
        lock(&self.inbox).closed = true;
        self.arrived.notify_one();
    }
}

fn size(topic: &str, payload: &[u8]) -> usize {
    OVERHEAD + topic.len() + payload.len()
}

fn closed() -> LinkError {
    LinkError::Closed("another session took its name, or it was left".to_owned())
}
