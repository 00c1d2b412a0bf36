//! The embedded broker does for our links what mosquitto does.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod sessions;

use sessions::{LONG, config, connected, message, next, wait_for};
use sprig_transport::broker::Broker;
use sprig_transport::link::{Event, Link};
use sprig_transport::mqtt::connect;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

fn broker() -> Broker {
    Broker::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

#[test]
fn messages_reach_subscribers() {
    sessions::messages_reach_subscribers(&broker().url());
}

#[test]
fn retained_messages_wait_for_subscribers() {
    sessions::retained_messages_wait_for_subscribers(&broker().url());
}

#[test]
fn the_will_is_published_for_a_killed_client_only() {
    sessions::the_will_is_published_for_a_killed_client_only(&broker().url());
}

#[test]
fn a_slow_reader_makes_the_sender_wait() {
    let broker = broker();
    sessions::a_slow_reader_makes_the_sender_wait(&broker.url(), 3000);
    assert_eq!(broker.dropped(), 0);
}

#[test]
fn many_clients_talk_at_once() {
    sessions::many_clients_talk_at_once(&broker().url(), 300);
}

#[test]
fn a_full_queue_is_an_error_in_time() {
    let address = broker().address();
    let mut started = None;
    sessions::a_full_queue_is_an_error_in_time(&format!("mqtt://{address}"), || {
        started = Some(Broker::start(address).unwrap());
    });
}

#[test]
fn a_restart_of_the_broker_is_survived() {
    let first = broker();
    let (address, url) = (first.address(), first.url());
    let mut second = None;
    sessions::a_restart_of_the_broker_is_survived(&url, |gone| {
        drop(first);
        gone();
        second = Some(Broker::start(address).unwrap());
    });
}

/// Together they are more than a packet may hold.
#[test]
fn thousands_of_filters_are_renewed_at_every_connection() {
    let first = broker();
    let (address, url) = (first.address(), first.url());
    let mut link = connected(&config(&url, "many"));
    let filter = |n: usize| format!("{n}/{}", "x".repeat(100));
    (0..2000).for_each(|n| link.subscribe(&filter(n)).unwrap());
    drop(first);
    wait_for(&mut link, |event| matches!(event, Event::Disconnected(_)));
    let _second = Broker::start(address).unwrap();
    wait_for(&mut link, |event| *event == Event::Connected);
    link.publish(&filter(1999), vec![1], false).unwrap();
    assert_eq!(message(&mut link), (filter(1999), vec![1]));
}

/// A client that falls silent is mourned after one and a half times its keep-alive.
#[test]
fn a_silent_client_is_given_up() {
    let broker = broker();
    let mut watcher = connect(&config(&broker.url(), "watcher")).unwrap();
    watcher.subscribe("gone").unwrap();
    assert_eq!(next(&mut watcher), Event::Connected);
    let mut silent = TcpStream::connect(broker.address()).unwrap();
    // CONNECT, clean start with will `gone`=`w`, keep-alive 1 s, client `s`.
    silent.write_all(b"\x10\x18\0\x04MQTT\x05\x06\0\x01\0\0\x01s\0\0\x04gone\0\x01w").unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(message(&mut watcher), ("gone".into(), b"w".to_vec()));
    assert!(begun.elapsed() > Duration::from_secs(1));
}

/// Bytes that are no MQTT, and packets a client must not send, end that connection and no other.
#[test]
fn nonsense_ends_only_its_own_connection() {
    let broker = broker();
    let mut link = connected(&config(&broker.url(), "pi"));
    let connect = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01n".as_slice();
    for nonsense in [
        b"GET / HTTP/1.1\r\nHost: a.fleet.example\r\nAccept: text/html, application/xhtml+xml\r\n\r\n"
            .as_slice(),
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\0\x01n",
        b"\x30\x05\0\x01tab",
        // After a good CONNECT: another, a QoS 2 message, a topic with a wildcard, more than the limit.
        &[connect, connect].concat(),
        &[connect, b"\x34\x07\0\x01t\0\x01\0x"].concat(),
        &[connect, b"\x30\x05\0\x01#\0x"].concat(),
        &[connect, b"\x30\xff\xff\x7f"].concat(),
    ] {
        let mut client = TcpStream::connect(broker.address()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(nonsense).unwrap();
        // Closed, perhaps with a reset.
        let _ = client.read_to_end(&mut Vec::new()).inspect_err(|error| {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{nonsense:?}");
        });
    }
    link.subscribe("still").unwrap();
    link.publish("still", vec![], true).unwrap();
    link.publish("still", b"here".to_vec(), true).unwrap();
    wait_for(&mut link, |event| matches!(event, Event::Message { payload, .. } if payload == b"here"));
}

#[test]
fn it_listens_on_this_machine_only() {
    let open: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    assert!(Broker::start(open).err().unwrap().to_string().contains("neither login nor TLS"));
}
