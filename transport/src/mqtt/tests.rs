//! What a link and its thread share, without a broker.

use super::shared::{Job, Shared};
use crate::link::{Event, LinkError};
use bytes::Bytes;
use rumqttc::{AckMode, AsyncClient, ManualAck, MqttOptions, PubAck, Publish, QoS};
use std::time::{Duration, Instant};

fn ack(id: u16) -> ManualAck {
    let mut options = MqttOptions::new("x", ("localhost", 1));
    options.set_ack_mode(AckMode::Manual);
    let mut message = Publish::new("t", QoS::AtLeastOnce, "x", None);
    message.pkid = id;
    AsyncClient::builder(options).build().0.prepare_ack(&message).unwrap()
}

fn acknowledged(shared: &Shared) -> Vec<u16> {
    match shared.job(false) {
        Job::Acknowledge(acks) => acks
            .into_iter()
            .map(|ack| match ack {
                ManualAck::PubAck(PubAck { pkid, .. }) => pkid,
                other => panic!("{other:?}"),
            })
            .collect(),
        _ => vec![],
    }
}

fn next(shared: &Shared) -> Option<Event> {
    shared.next(Instant::now()).unwrap()
}

#[test]
fn acknowledgements_wait_for_room_and_keep_their_order() {
    let shared = Shared::new(1000, 300);
    shared.begin();
    let topic = Bytes::from_static(b"t");
    let receive = |id, bytes| shared.receive(&topic, vec![0; bytes].into(), Some(ack(id)));
    receive(1, 100);
    assert_eq!(acknowledged(&shared), [1]);
    // No room; then the fourth would fit, but must not overtake the third.
    receive(2, 100);
    receive(3, 200);
    receive(4, 0);
    assert_eq!(acknowledged(&shared), [2; 0]);
    for taken in [vec![], vec![2], vec![3], vec![4]] {
        assert!(next(&shared).is_some());
        assert_eq!(acknowledged(&shared), taken);
    }
    receive(5, 100);
    assert_eq!(acknowledged(&shared), [5]);
    // What came by an earlier connection is not acknowledged on this one.
    receive(6, 300);
    shared.begin();
    assert!(next(&shared).is_some() && next(&shared).is_some());
    assert_eq!(acknowledged(&shared), [0; 0]);
    receive(7, 10);
    assert_eq!(acknowledged(&shared), [7]);
}

#[test]
fn a_link_nobody_listens_to_stays_small() {
    let shared = Shared::new(1000, 1000);
    let broker = || "b:1".to_owned();
    for attempt in 0..1000 {
        shared.begin();
        if attempt % 3 == 0 {
            shared.connected();
        }
        shared.lost(format!("attempt {attempt}"));
        if attempt % 2 == 1 {
            shared.complain(LinkError::Refused { broker: broker(), why: "no".to_owned() });
        }
    }
    assert_eq!(next(&shared), Some(Event::Disconnected("attempt 999".to_owned())));
    assert!(shared.next(Instant::now()).is_err());
    assert_eq!(next(&shared), None);
    // A message in between keeps the order of what is told.
    shared.connected();
    shared.receive(&Bytes::from_static(b"t"), Bytes::new(), None);
    shared.lost("gone".to_owned());
    shared.lost("still gone".to_owned());
    let told: Vec<_> = std::iter::from_fn(|| next(&shared)).collect();
    assert!(
        matches!(&told[..], [Event::Connected, Event::Message { .. }, Event::Disconnected(why)] if why == "still gone")
    );
}

#[test]
fn connected_waits_for_subscriptions_made_meanwhile() {
    let shared = Shared::new(1000, 1000);
    assert!(shared.begin().is_empty());
    shared.subscribe("t/+").unwrap();
    shared.subscribe("t/+").unwrap();
    shared.connected();
    assert_eq!(next(&shared), None);
    assert!(matches!(shared.job(false), Job::Change(_)));
    assert_eq!(next(&shared), None);
    shared.changed();
    assert_eq!(next(&shared), Some(Event::Connected));
    assert!(matches!(shared.job(false), Job::Wait));
    assert_eq!(shared.begin(), ["t/+"]);
}

#[test]
fn what_was_not_acknowledged_is_sent_again_on_the_next_connection() {
    let shared = Shared::new(1000, 1000);
    let publish = |topic: &str| shared.publish(topic, vec![1], false, Duration::ZERO).unwrap();
    let sent = || match shared.job(false) {
        Job::Publish(message) => (message.topic, message.id),
        _ => (String::new(), 0),
    };
    publish("a");
    publish("b");
    publish("c");
    shared.begin();
    let ((a, first), (b, second)) = (sent(), sent());
    assert_eq!((a.as_str(), b.as_str()), ("a", "b"));
    // The second was answered, the first not.
    shared.done(second);
    shared.lost("gone".to_owned());
    shared.begin();
    assert_eq!((sent().0, sent().0), ("a".to_owned(), "c".to_owned()));
    shared.done(first);
    shared.done(first);
    assert!(matches!(shared.job(false), Job::Wait));
}
