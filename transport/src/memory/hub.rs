//! The hub's state: who is there, what they asked for, what is kept.

use super::{INBOX_BYTES, QUEUE_BYTES, lock};
use crate::link::{Event, Farewell, LinkError};
use crate::rules;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a waiting message costs besides its topic and payload.
const OVERHEAD: usize = 64;

#[derive(Default)]
pub(crate) struct Inner {
    stopped: bool,
    /// In the order of their names, so that the same deeds have the same course.
    sessions: BTreeMap<String, Session>,
    /// Sessions by filter. Those without wildcard are found by the topic itself: with thousands of clients, each
    /// listens to its own topics.
    exact: HashMap<String, Vec<Arc<Client>>>,
    wild: Vec<(String, Arc<Client>)>,
    retained: BTreeMap<String, Arc<[u8]>>,
    dropped: u64,
}

/// What is published for a session that ends without farewell.
#[derive(Clone)]
pub(crate) struct Will {
    pub(crate) message: Farewell,
    pub(crate) retain: bool,
}

struct Session {
    client: Arc<Client>,
    will: Option<Will>,
    filters: Vec<String>,
    /// Published during an outage.
    queue: Vec<(String, Vec<u8>, bool)>,
    queued: usize,
}

/// The end of a session that a link, or a connection, holds.
#[derive(Default)]
pub(crate) struct Client {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    /// The same for tasks.
    stirred: Notify,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    down: u64,
    closed: bool,
}

/// A message is shared by all who wait for it.
pub(crate) enum Waiting {
    Event(Event),
    Message {
        topic: Arc<str>,
        payload: Arc<[u8]>,
        /// It was there before the subscription.
        #[cfg_attr(not(feature = "broker"), allow(dead_code))]
        retained: bool,
    },
}

impl Inner {
    pub(crate) fn join(&mut self, id: &str, will: Option<Will>) -> Arc<Client> {
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

    pub(crate) fn leave(&mut self, id: &str, client: &Arc<Client>, mourn: bool) {
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

    pub(crate) fn subscribe(
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

    pub(crate) fn unsubscribe(
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

    pub(crate) fn publish(
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

    /// Bytes of what a client published during an outage.
    pub(crate) fn queued(&mut self, id: &str, client: &Arc<Client>) -> usize {
        self.session(id, client).map_or(0, |session| session.queued)
    }

    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        for session in self.sessions.values() {
            session.client.lose("the hub was stopped");
        }
    }

    pub(crate) fn start(&mut self) {
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

    pub(crate) fn cut(&mut self, id: &str) {
        let Some(session) = self.sessions.get(id) else { return };
        session.client.lose("the connection was cut");
        self.mourn(session.will.clone());
        if let Some(session) = self.sessions.get(id) {
            self.welcome(session);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.retained.clear();
    }

    pub(crate) fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        self.retained.get(topic).map(|payload| payload.to_vec())
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The session that this client still holds: another of its name may have taken its place.
    fn session(&mut self, id: &str, client: &Arc<Client>) -> Result<&mut Session, LinkError> {
        match self.sessions.get_mut(id) {
            Some(session) if Arc::ptr_eq(&session.client, client) => Ok(session),
            _ => Err(closed()),
        }
    }

    fn mourn(&mut self, will: Option<Will>) {
        if let Some(Will { message: (topic, payload), retain }) = will {
            self.deliver(&topic, payload.into(), retain);
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
            client.offer(&topic.as_str().into(), payload, true);
        }
    }

    pub(crate) fn deliver(&mut self, topic: &str, payload: Arc<[u8]>, retain: bool) {
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
        self.dropped +=
            clients.iter().map(|client| u64::from(!client.offer(&topic, &payload, false))).sum::<u64>();
    }
}

impl Client {
    pub(crate) fn take(&self, until: Instant) -> Result<Option<Event>, LinkError> {
        let mut inbox = lock(&self.inbox);
        loop {
            match inbox.pop()? {
                Some(Waiting::Event(event)) => return Ok(Some(event)),
                Some(Waiting::Message { topic, payload, .. }) => {
                    drop(inbox);
                    let (topic, payload) = (topic.to_string(), payload.to_vec());
                    return Ok(Some(Event::Message { topic, payload }));
                }
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

    /// The same without waiting.
    #[cfg(feature = "broker")]
    pub(crate) fn pop(&self) -> Result<Option<Waiting>, LinkError> {
        lock(&self.inbox).pop()
    }

    /// Until something may wait.
    #[cfg(feature = "broker")]
    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    pub(crate) fn down(&self) -> u64 {
        lock(&self.inbox).down
    }

    fn tell(&self, event: Event) {
        lock(&self.inbox).waiting.push_back(Waiting::Event(event));
        self.stir();
    }

    fn offer(&self, topic: &Arc<str>, payload: &Arc<[u8]>, retained: bool) -> bool {
        let mut inbox = lock(&self.inbox);
        let bytes = inbox.bytes + size(topic, payload);
        if bytes > INBOX_BYTES {
            return false;
        }
        inbox.bytes = bytes;
        let (topic, payload) = (topic.clone(), payload.clone());
        inbox.waiting.push_back(Waiting::Message { topic, payload, retained });
        self.stir();
        true
    }

    /// What waits is lost with the session, but for the news of earlier sessions.
    fn lose(&self, why: &str) {
        let mut inbox = lock(&self.inbox);
        inbox.waiting.clear();
        inbox.bytes = 0;
        inbox.waiting.push_back(Waiting::Event(Event::Disconnected(why.to_owned())));
        self.stir();
    }

    fn close(&self) {
        lock(&self.inbox).closed = true;
        self.stir();
    }

    fn stir(&self) {
        self.arrived.notify_one();
        self.stirred.notify_one();
    }
}

impl Inbox {
    /// What waits first; an error once the session is over and nothing waits.
    fn pop(&mut self) -> Result<Option<Waiting>, LinkError> {
        let next = self.waiting.pop_front();
        match &next {
            Some(Waiting::Message { topic, payload, .. }) => {
                self.bytes -= size(topic, payload);
                self.down += rules::packet_bytes(topic, payload);
            }
            None if self.closed => return Err(closed()),
            _ => {}
        }
        Ok(next)
    }
}

fn size(topic: &str, payload: &[u8]) -> usize {
    OVERHEAD + topic.len() + payload.len()
}

fn closed() -> LinkError {
    LinkError::Closed("another session took its name, or it was left".to_owned())
}
