//! A broker in this process, for simulation and tests: retained messages, wills, filters; and outages at will.

pub(crate) mod hub;

use crate::link::{Event, Farewell, Link, LinkError, Traffic};
use crate::rules;
use hub::{Client, Inner, Will};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of messages that wait for one client; more are dropped, as brokers do, and counted ([`Hub::dropped`]).
pub const INBOX_BYTES: usize = 64 << 20;
/// Bytes of messages that one client may publish during an outage.
pub const QUEUE_BYTES: usize = 1 << 20;

/// A broker in this process. Clones are the same broker.
#[derive(Clone)]
pub struct Hub(Arc<Mutex<Inner>>);

/// A new, empty broker.
pub fn broker() -> Hub {
    Hub(Arc::default())
}

impl Hub {
    /// A session, connected at once (unless the hub is stopped). One of the same name that stands is ended, its
    /// will published.
    pub fn link(&self, id: &str, will: Option<Farewell>) -> HubLink {
        let client = lock(&self.0).join(id, will.map(|message| Will { message, retain: true }));
        HubLink { hub: self.clone(), id: id.to_owned(), client, up: 0 }
    }

    /// The broker goes away: every session ends, what waits is lost, no will is published.
    pub fn stop(&self) {
        lock(&self.0).stop();
    }

    /// The broker is back, with its retained messages; every link connects again.
    pub fn start(&self) {
        lock(&self.0).start();
    }

    /// Drops the retained messages, as a broker without a store does when it restarts.
    pub fn forget(&self) {
        lock(&self.0).forget();
    }

    /// One client loses its connection and connects again: its will is published, what waits for it is lost.
    pub fn cut(&self, id: &str) {
        lock(&self.0).cut(id);
    }

    /// The retained message of a topic.
    pub fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        lock(&self.0).retained(topic)
    }

    /// Messages dropped because a client did not take them.
    pub fn dropped(&self) -> u64 {
        lock(&self.0).dropped()
    }
}

/// A session with a [`Hub`]. Dropped without [`Link::close`], its will is published.
pub struct HubLink {
    hub: Hub,
    id: String,
    client: Arc<Client>,
    up: u64,
}

impl Link for HubLink {
    fn subscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        rules::check_filter(filter)?;
        lock(&self.hub.0).subscribe(&self.id, &self.client, filter)
    }

    fn unsubscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        lock(&self.hub.0).unsubscribe(&self.id, &self.client, filter)
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        rules::check_publication(topic, &payload)?;
        let bytes = rules::packet_bytes(topic, &payload);
        lock(&self.hub.0).publish(&self.id, &self.client, topic, payload, retain)?;
        self.up += bytes;
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError> {
        self.client.take(Instant::now() + wait)
    }

    fn queued(&self) -> usize {
        lock(&self.hub.0).queued(&self.id, &self.client)
    }

    fn traffic(&self) -> Traffic {
        Traffic { up: self.up, down: self.client.down() }
    }

    fn close(mut self: Box<Self>, farewell: Option<Farewell>) -> Result<(), LinkError> {
        let said = farewell.map_or(Ok(()), |(topic, payload)| self.publish(&topic, payload, true));
        lock(&self.hub.0).leave(&self.id, &self.client, false);
        said
    }
}

impl Drop for HubLink {
    fn drop(&mut self) {
        lock(&self.hub.0).leave(&self.id, &self.client, true);
    }
}

/// A poisoned lock only means that another test thread panicked: every change here is complete before it can.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::MAX_PAYLOAD;
    use std::thread;

    const SOON: Duration = Duration::from_millis(1);

    fn drain(link: &mut impl Link) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(event) = link.next(SOON).unwrap() {
            seen.push(match event {
                Event::Connected => "connected".to_owned(),
                Event::Disconnected(_) => "disconnected".to_owned(),
                Event::Message { topic, payload } => {
                    format!("{topic}={}", String::from_utf8(payload).unwrap())
                }
            });
        }
        seen
    }

    #[test]
    fn messages_reach_whoever_asked_for_them_once() {
        let hub = broker();
        let (mut a, mut b) = (hub.link("a", None), hub.link("b", None));
        b.subscribe("x/+").unwrap();
        b.subscribe("x/1").unwrap();
        b.subscribe("x/1").unwrap();
        a.publish("x/1", b"one".to_vec(), false).unwrap();
        a.publish("y/1", b"no".to_vec(), false).unwrap();
        assert_eq!(drain(&mut b), ["connected", "x/1=one"]);
        assert_eq!(drain(&mut a), ["connected"]);
        b.unsubscribe("x/+").unwrap();
        b.unsubscribe("x/1").unwrap();
        b.unsubscribe("never").unwrap();
        a.publish("x/1", b"two".to_vec(), false).unwrap();
        assert_eq!(drain(&mut b), [""; 0]);
        assert_eq!(a.traffic().up, 3 * (2 + 2 + 3 + 2 + 1) + 8);
        assert_eq!(b.traffic().down, 2 + 2 + 3 + 2 + 1 + 3);
    }

    #[test]
    fn retained_messages_wait_for_subscribers_until_they_are_cleared() {
        let hub = broker();
        let mut a = hub.link("a", None);
        a.publish("x/1", b"old".to_vec(), true).unwrap();
        a.publish("x/1", b"new".to_vec(), true).unwrap();
        a.publish("x/2", b"two".to_vec(), true).unwrap();
        let mut b = hub.link("b", None);
        b.subscribe("x/#").unwrap();
        assert_eq!(drain(&mut b), ["connected", "x/1=new", "x/2=two"]);
        a.publish("x/1", Vec::new(), true).unwrap();
        assert_eq!(hub.retained("x/1"), None);
        assert_eq!(drain(&mut b), ["x/1="]);
    }

    #[test]
    fn a_will_is_published_unless_the_link_says_farewell() {
        let hub = broker();
        let mut watcher = hub.link("w", None);
        watcher.subscribe("gone/+").unwrap();
        let will = |id: &str| Some((format!("gone/{id}"), b"will".to_vec()));
        drop(hub.link("a", will("a")));
        Box::new(hub.link("b", will("b"))).close(Some(("gone/b".into(), b"bye".to_vec()))).unwrap();
        let mut first = hub.link("c", will("c"));
        let _second = hub.link("c", None);
        assert_eq!(drain(&mut watcher), ["connected", "gone/a=will", "gone/b=bye", "gone/c=will"]);
        assert_eq!(hub.retained("gone/a").unwrap(), b"will");
        assert!(matches!(first.publish("x", vec![], false), Err(LinkError::Closed(_))));
        drop(first);
        assert_eq!(drain(&mut watcher), [""; 0]);
    }

    #[test]
    fn after_an_outage_subscriptions_and_retained_messages_are_back() {
        let hub = broker();
        let (mut a, mut b) = (hub.link("a", None), hub.link("b", Some(("will".into(), vec![]))));
        b.subscribe("x/+").unwrap();
        a.publish("x/kept", b"1".to_vec(), true).unwrap();
        a.publish("x/lost", b"2".to_vec(), false).unwrap();
        hub.stop();
        assert_eq!(drain(&mut b), ["disconnected"]);
        a.publish("x/later", b"3".to_vec(), false).unwrap();
        let chunk = vec![0; MAX_PAYLOAD];
        let busy = (0..20).find_map(|_| a.publish("y", chunk.clone(), false).err()).unwrap();
        assert!(matches!(busy, LinkError::Busy { .. }));
        hub.start();
        assert_eq!(drain(&mut b), ["x/kept=1", "connected", "x/later=3"]);
        hub.stop();
        hub.forget();
        hub.start();
        assert_eq!(drain(&mut b), ["disconnected", "connected"]);
    }

    #[test]
    fn a_cut_client_is_mourned_and_comes_back() {
        let hub = broker();
        let mut watcher = hub.link("w", None);
        watcher.subscribe("gone").unwrap();
        let mut a = hub.link("a", Some(("gone".into(), b"a".to_vec())));
        hub.cut("a");
        assert_eq!(drain(&mut watcher), ["connected", "gone=a"]);
        assert_eq!(drain(&mut a), ["disconnected", "connected"]);
    }

    #[test]
    fn a_waiting_reader_is_woken_and_a_full_inbox_drops() {
        let hub = broker();
        let (mut a, mut b) = (hub.link("a", None), hub.link("b", None));
        b.subscribe("x").unwrap();
        assert_eq!(b.next(SOON).unwrap(), Some(Event::Connected));
        thread::scope(|scope| {
            let reader = scope.spawn(|| b.next(Duration::from_secs(20)).unwrap());
            a.publish("x", b"go".to_vec(), false).unwrap();
            assert!(matches!(reader.join().unwrap(), Some(Event::Message { .. })));
        });
        for _ in 0..INBOX_BYTES / MAX_PAYLOAD + 1 {
            a.publish("x", vec![0; MAX_PAYLOAD], false).unwrap();
        }
        assert!(hub.dropped() > 0);
    }
}
