//! What every broker must do for a fleet, asked of mosquitto and of the embedded broker alike.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_transport::link::{Event, Link, LinkConfig, LinkError, MAX_PAYLOAD};
use sprig_transport::mqtt::{MqttLink, connect};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);
/// In which something that must not happen would.
pub const SHORT: Duration = Duration::from_millis(300);

/// Settings for a client of a broker on this machine, with short pauses.
pub fn config(url: &str, id: &str) -> LinkConfig {
    let mut config = LinkConfig::new(url, id);
    config.first_pause = Duration::from_millis(50);
    config.longest_pause = Duration::from_millis(500);
    config.patience = LONG;
    config
}

/// The next event; errors and silence fail.
pub fn next(link: &mut impl Link) -> Event {
    link.next(LONG).unwrap().expect("no event within 30 s")
}

/// The next message; other events fail.
pub fn message(link: &mut impl Link) -> (String, Vec<u8>) {
    match next(link) {
        Event::Message { topic, payload } => (topic, payload),
        other => panic!("{other:?}"),
    }
}

/// A link whose session stands.
pub fn connected(config: &LinkConfig) -> MqttLink {
    let mut link = connect(config).unwrap();
    assert_eq!(next(&mut link), Event::Connected);
    link
}

/// Waits for an event, whatever comes before it.
pub fn wait_for(link: &mut impl Link, wanted: impl Fn(&Event) -> bool) {
    let until = Instant::now() + LONG;
    let mut seen = Vec::new();
    while Instant::now() < until {
        match link.next(SHORT).unwrap() {
            Some(event) if wanted(&event) => return,
            Some(Event::Message { topic, .. }) => seen.push(topic),
            Some(other) => seen.push(format!("{other:?}")),
            None => {}
        }
    }
    panic!("it did not come within 30 s, but {seen:?}");
}

pub fn messages_reach_subscribers(url: &str) {
    let mut a = connected(&config(url, "a"));
    let mut b = connect(&config(url, "b")).unwrap();
    b.subscribe("x/+").unwrap();
    b.subscribe("y/#").unwrap();
    assert_eq!(next(&mut b), Event::Connected);
    let largest: Vec<u8> = (0..MAX_PAYLOAD).map(|i| (i % 251) as u8).collect();
    a.publish("x/1", b"one".to_vec(), false).unwrap();
    a.publish("z/1", b"not for b".to_vec(), false).unwrap();
    a.publish("y/deep/er", largest.clone(), false).unwrap();
    a.publish("x/2", vec![], false).unwrap();
    assert_eq!(message(&mut b), ("x/1".into(), b"one".to_vec()));
    let (topic, payload) = message(&mut b);
    assert!(topic == "y/deep/er" && payload == largest, "{topic} of {} bytes", payload.len());
    assert_eq!(message(&mut b), ("x/2".into(), vec![]));
    // Subscriptions made and ended while connected.
    b.subscribe("z/+").unwrap();
    b.unsubscribe("x/+").unwrap();
    let until = Instant::now() + LONG;
    let mut got = None;
    while got.is_none() && Instant::now() < until {
        a.publish("x/3", b"no more".to_vec(), false).unwrap();
        a.publish("z/3", b"now".to_vec(), false).unwrap();
        thread::sleep(Duration::from_millis(50));
        while let Some(Event::Message { topic, .. }) = b.next(Duration::from_millis(50)).unwrap() {
            got = Some(topic).filter(|topic| topic == "z/3").or(got);
        }
    }
    assert!(got.is_some());
    a.publish("x/4", b"no more".to_vec(), false).unwrap();
    a.publish("z/4", b"last".to_vec(), false).unwrap();
    wait_for(&mut b, |event| match event {
        Event::Message { topic, .. } => {
            assert_ne!(topic, "x/4");
            topic == "z/4"
        }
        _ => false,
    });
    let (up, down) = (a.traffic().up, b.traffic().down);
    assert!(up > MAX_PAYLOAD as u64 && down > MAX_PAYLOAD as u64 && down < up, "{up} {down}");
}

pub fn retained_messages_wait_for_subscribers(url: &str) {
    let mut a = connected(&config(url, "a"));
    let mut b = connected(&config(url, "b"));
    b.subscribe("kept/done").unwrap();
    a.publish("kept/1", b"old".to_vec(), true).unwrap();
    a.publish("kept/1", b"new".to_vec(), true).unwrap();
    a.publish("kept/2", b"gone".to_vec(), true).unwrap();
    a.publish("kept/2", vec![], true).unwrap();
    a.publish("kept/passing", b"no".to_vec(), false).unwrap();
    a.publish("kept/done", b"yes".to_vec(), true).unwrap();
    assert_eq!(message(&mut b).0, "kept/done");
    let mut c = connect(&config(url, "c")).unwrap();
    c.subscribe("kept/+").unwrap();
    let mut seen = Vec::new();
    while let Some(event) = c.next(if seen.len() < 3 { LONG } else { SHORT }).unwrap() {
        seen.push(match event {
            Event::Message { topic, payload } => format!("{topic}={}", String::from_utf8(payload).unwrap()),
            other => format!("{other:?}"),
        });
    }
    seen.sort();
    assert_eq!(seen, ["Connected", "kept/1=new", "kept/done=yes"]);
}

pub fn the_will_is_published_for_a_killed_client_only(url: &str) {
    let mut watcher = connect(&config(url, "watcher")).unwrap();
    watcher.subscribe("gone/+").unwrap();
    assert_eq!(next(&mut watcher), Event::Connected);
    let with_will = |id: &str| {
        let mut config = config(url, id);
        config.will = Some((format!("gone/{id}"), b"will".to_vec()));
        config
    };
    // Dropping closes the socket without a word, as the system does for a killed process.
    drop(connected(&with_will("killed")));
    assert_eq!(message(&mut watcher), ("gone/killed".into(), b"will".to_vec()));
    let mut polite = connected(&with_will("polite"));
    polite.publish("gone/before", b"last words".to_vec(), false).unwrap();
    Box::new(polite).close(Some(("gone/polite".into(), b"farewell".to_vec()))).unwrap();
    assert_eq!(message(&mut watcher).0, "gone/before");
    assert_eq!(message(&mut watcher), ("gone/polite".into(), b"farewell".to_vec()));
    assert_eq!(watcher.next(SHORT).unwrap(), None);
    // Will and farewell are retained.
    let mut late = connect(&config(url, "late")).unwrap();
    late.subscribe("gone/+").unwrap();
    let mut seen = Vec::new();
    while let Some(event) = late.next(if seen.len() < 3 { LONG } else { SHORT }).unwrap() {
        seen.push(event);
    }
    for (topic, payload) in [("gone/killed", b"will".to_vec()), ("gone/polite", b"farewell".to_vec())] {
        assert!(seen.contains(&Event::Message { topic: topic.into(), payload }), "{topic}: {seen:?}");
    }
}

/// More messages than any queue on the way holds: the sender blocks, the reader is slow, nothing is lost.
pub fn a_slow_reader_makes_the_sender_wait(url: &str, count: u32) {
    let mut reader = config(url, "reader");
    reader.inbox_bytes = 64 << 10;
    let mut reader = connect(&reader).unwrap();
    reader.subscribe("flood").unwrap();
    assert_eq!(next(&mut reader), Event::Connected);
    let mut sender = config(url, "sender");
    sender.queue_bytes = 64 << 10;
    let sender = thread::spawn(move || {
        let mut sender = connected(&sender);
        for number in 0..count {
            let payload = [&number.to_le_bytes()[..], &[7; 4092]].concat();
            sender.publish("flood", payload, false).unwrap();
        }
        Box::new(sender).close(None).unwrap();
    });
    thread::sleep(SHORT);
    for number in 0..count {
        let (_, payload) = message(&mut reader);
        assert_eq!(payload[..4], number.to_le_bytes());
        if number % 100 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    sender.join().unwrap();
}

/// A full queue is an error after the time agreed, and what is queued goes out when the broker is there.
pub fn a_full_queue_is_an_error_in_time(url: &str, start: impl FnOnce()) {
    let mut config = config(url, "patient");
    config.patience = Duration::from_millis(200);
    config.queue_bytes = 100 << 10;
    let mut link = connect(&config).unwrap();
    link.subscribe("later").unwrap();
    link.publish("later", b"queued".to_vec(), false).unwrap();
    let begun = Instant::now();
    let error = (0..10).find_map(|_| link.publish("big", vec![0; 30_000], false).err()).unwrap();
    assert!(matches!(error, LinkError::Busy { limit: 102_400, .. }), "{error}");
    assert!(begun.elapsed() >= config.patience && begun.elapsed() < LONG);
    assert!(matches!(link.next(LONG).unwrap(), Some(Event::Disconnected(_))));
    start();
    wait_for(&mut link, |event| *event == Event::Connected);
    assert_eq!(message(&mut link), ("later".into(), b"queued".to_vec()));
}

/// After the broker was away, subscriptions are renewed and what was queued meanwhile arrives.
pub fn a_restart_of_the_broker_is_survived(url: &str, restart: impl FnOnce(&mut dyn FnMut())) {
    let mut a = connected(&config(url, "a"));
    let mut b = connect(&config(url, "b")).unwrap();
    b.subscribe("x/+").unwrap();
    assert_eq!(next(&mut b), Event::Connected);
    a.publish("x/before", b"1".to_vec(), false).unwrap();
    assert_eq!(message(&mut b).0, "x/before");
    restart(&mut || {
        wait_for(&mut b, |event| matches!(event, Event::Disconnected(_)));
        wait_for(&mut a, |event| matches!(event, Event::Disconnected(_)));
    });
    wait_for(&mut b, |event| *event == Event::Connected);
    a.publish("x/after", b"2".to_vec(), false).unwrap();
    wait_for(&mut b, |event| matches!(event, Event::Message { topic, .. } if topic == "x/after"));
}

/// Many clients at once, each with a topic of its own.
pub fn many_clients_talk_at_once(url: &str, clients: u32) {
    let mut hub = config(url, "coordinator");
    hub.queue_bytes = 8 << 20;
    hub.inbox_bytes = 8 << 20;
    let mut hub = connect(&hub).unwrap();
    hub.subscribe("update/+").unwrap();
    assert_eq!(next(&mut hub), Event::Connected);
    let mut links: Vec<_> = (0..clients)
        .map(|number| {
            let mut link = connect(&config(url, &format!("d{number}"))).unwrap();
            link.subscribe(&format!("receipt/{number}")).unwrap();
            link
        })
        .collect();
    for (number, link) in links.iter_mut().enumerate() {
        assert_eq!(next(link), Event::Connected);
        link.publish(&format!("update/{number}"), vec![1; 200], false).unwrap();
    }
    for _ in 0..clients {
        let (topic, payload) = message(&mut hub);
        hub.publish(&topic.replace("update", "receipt"), payload, false).unwrap();
    }
    for (number, link) in links.iter_mut().enumerate() {
        assert_eq!(message(link), (format!("receipt/{number}"), vec![1; 200]));
    }
}
