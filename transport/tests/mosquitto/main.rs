//! Sessions with a real mosquitto: everything a fleet needs of a broker, and everything that can go wrong.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[path = "../sessions/mod.rs"]
mod sessions;
mod tls;

use sessions::{LONG, SHORT, config, connected, message, next, wait_for};
use sprig_testkit::mosquitto::{Mosquitto, program};
use sprig_transport::link::{Event, Link, LinkConfig, LinkError, MAX_PAYLOAD, Who};
use sprig_transport::mqtt::connect;
use std::fs;
use std::process::Command;
use std::time::Instant;

/// The error that connecting ends with.
fn refusal(config: &LinkConfig) -> LinkError {
    let mut link = connect(config).unwrap();
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        match link.next(SHORT) {
            Err(error) => return error,
            Ok(Some(Event::Connected)) => panic!("let in"),
            Ok(Some(event)) => println!("{event:?}"),
            Ok(None) => {}
        }
    }
    panic!("no error within 30 s");
}

#[test]
fn messages_reach_subscribers() {
    sessions::messages_reach_subscribers(&Mosquitto::open().url());
}

#[test]
fn retained_messages_wait_for_subscribers() {
    sessions::retained_messages_wait_for_subscribers(&Mosquitto::open().url());
}

#[test]
fn the_will_is_published_for_a_killed_client_only() {
    sessions::the_will_is_published_for_a_killed_client_only(&Mosquitto::open().url());
}

#[test]
fn a_slow_reader_makes_the_sender_wait() {
    sessions::a_slow_reader_makes_the_sender_wait(&Mosquitto::open().url(), 3000);
}

#[test]
fn many_clients_talk_at_once() {
    sessions::many_clients_talk_at_once(&Mosquitto::open().url(), 100);
}

#[test]
fn a_full_queue_is_an_error_in_time() {
    let mut broker = Mosquitto::prepared(|_| "allow_anonymous true".to_owned());
    sessions::a_full_queue_is_an_error_in_time(&broker.url(), || broker.start());
}

#[test]
fn a_restart_of_the_broker_is_survived() {
    let mut broker = Mosquitto::open();
    sessions::a_restart_of_the_broker_is_survived(&broker.url(), |gone| {
        broker.kill();
        gone();
        broker.start();
    });
}

/// Killed in the midst of a stream, whose messages are numbered: each arrives, some perhaps twice.
#[test]
fn nothing_queued_is_lost_when_the_broker_restarts_in_midstream() {
    let mut broker = Mosquitto::open();
    let mut sender = connected(&config(&broker.url(), "sender"));
    let mut reader = connect(&config(&broker.url(), "reader")).unwrap();
    reader.subscribe("n").unwrap();
    assert_eq!(next(&mut reader), Event::Connected);
    // What the reader saw is what the broker had passed on; the rest of what it took dies with it.
    let mut highest = 0u32;
    for number in 1..=400u32 {
        sender.publish("n", number.to_le_bytes().to_vec(), false).unwrap();
        if number == 200 {
            while highest < 200 {
                highest = u32::from_le_bytes(message(&mut reader).1.try_into().unwrap());
            }
            broker.kill();
        }
    }
    broker.start();
    wait_for(&mut reader, |event| *event == Event::Connected);
    // The reader may have come back after the sender: what went before is lost to it, as to any MQTT client without
    // session. The sender's queue must drain all the same.
    sender.publish("n", 401u32.to_le_bytes().to_vec(), true).unwrap();
    wait_for(
        &mut reader,
        |event| matches!(event, Event::Message { payload, .. } if *payload == 401u32.to_le_bytes()),
    );
    Box::new(sender).close(None).unwrap();
}

#[test]
fn a_wrong_password_is_the_operators_to_mend() {
    let broker = Mosquitto::with(|folder| {
        let passwords = folder.join("passwords");
        let made = Command::new(program("mosquitto_passwd"))
            .args(["-c", "-b"])
            .arg(&passwords)
            .args(["pi", "right"])
            .status()
            .unwrap();
        assert!(made.success());
        format!("allow_anonymous false\npassword_file {}", passwords.display())
    });
    let mut config = config(&broker.url(), "pi");
    config.login = Some(("pi".into(), "wrong".into()));
    let error = refusal(&config);
    assert!(matches!(error, LinkError::Refused { .. }) && error.who() == Who::Broker, "{error}");
    config.login = None;
    assert!(matches!(refusal(&config), LinkError::Refused { .. }));
    config.login = Some(("pi".into(), "right".into()));
    connected(&config);
}

#[test]
fn a_topic_without_access_is_an_error_that_names_it() {
    let broker = Mosquitto::with(|folder| {
        let rules = folder.join("acl");
        fs::write(&rules, "pattern write update/%c\ntopic read #\n").unwrap();
        format!("allow_anonymous true\nacl_file {}", rules.display())
    });
    let mut link = connected(&config(&broker.url(), "pi"));
    link.publish("update/other", b"not mine".to_vec(), false).unwrap();
    let error = link.next(LONG).unwrap_err();
    assert!(
        matches!(error, LinkError::Refused { .. }) && error.to_string().contains("update/other"),
        "{error}"
    );
    // The session goes on.
    link.subscribe("update/pi").unwrap();
    std::thread::sleep(SHORT);
    link.publish("update/pi", b"mine".to_vec(), false).unwrap();
    assert_eq!(message(&mut link).0, "update/pi");
}

/// The broker keeps messages over the limit from this client, whoever sends them; the session goes on.
#[test]
fn an_oversize_message_does_not_arrive() {
    let broker = Mosquitto::open();
    let mut link = connect(&config(&broker.url(), "pi")).unwrap();
    link.subscribe("t").unwrap();
    assert_eq!(next(&mut link), Event::Connected);
    let file = broker.file("large");
    for bytes in [MAX_PAYLOAD + 2000, MAX_PAYLOAD + 1, 3] {
        fs::write(&file, vec![b'x'; bytes]).unwrap();
        let sent = Command::new(program("mosquitto_pub"))
            .args(["-V", "5", "-q", "1", "-t", "t", "-p", &broker.port().to_string(), "-f"])
            .arg(&file)
            .status()
            .unwrap();
        assert!(sent.success());
    }
    assert_eq!(message(&mut link).1.len(), 3);
    assert!(link.publish("t", vec![0; MAX_PAYLOAD + 1], false).is_err());
}

/// A message that the broker never takes is an error once, and does not keep the others from going out.
#[test]
fn a_message_too_large_for_the_broker_is_dropped_and_told() {
    let broker = Mosquitto::with(|_| "allow_anonymous true\nmax_packet_size 20000".to_owned());
    let mut link = connect(&config(&broker.url(), "pi")).unwrap();
    link.subscribe("t/+").unwrap();
    assert_eq!(next(&mut link), Event::Connected);
    link.publish("t/large", vec![0; 30_000], false).unwrap();
    link.publish("t/small", vec![1], false).unwrap();
    let mut told = Vec::new();
    loop {
        match link.next(LONG) {
            Err(error) => told.push(error.to_string()),
            Ok(Some(Event::Message { topic, .. })) if topic == "t/small" => break,
            Ok(event) => assert!(!matches!(event, None | Some(Event::Message { .. })), "silence"),
        }
    }
    assert!(told.len() == 1 && told[0].contains("t/large") && told[0].contains("20000"), "{told:?}");
}

/// Messages at QoS 0, which cannot be made to wait, do not fill memory.
#[test]
fn a_flood_at_qos_0_is_dropped_at_the_inbox() {
    let broker = Mosquitto::open();
    let mut config = config(&broker.url(), "pi");
    config.inbox_bytes = 10_000;
    let mut link = connect(&config).unwrap();
    link.subscribe("t").unwrap();
    assert_eq!(next(&mut link), Event::Connected);
    let file = broker.file("lines");
    fs::write(&file, format!("{}\n", "x".repeat(900)).repeat(200)).unwrap();
    let sent = Command::new(program("mosquitto_pub"))
        .args(["-V", "5", "-q", "0", "-t", "t", "-p", &broker.port().to_string(), "-l"])
        .stdin(fs::File::open(&file).unwrap())
        .status()
        .unwrap();
    assert!(sent.success());
    std::thread::sleep(SHORT);
    let mut seen = 0;
    while link.next(SHORT).unwrap().is_some() {
        seen += 1;
    }
    assert!((1..=12).contains(&seen), "{seen}");
}

#[test]
fn no_broker_at_all_is_told_and_tried_again() {
    let mut broker = Mosquitto::prepared(|_| "allow_anonymous true".to_owned());
    let mut link = connect(&config(&broker.url(), "pi")).unwrap();
    let Event::Disconnected(why) = next(&mut link) else { panic!() };
    assert!(why.contains(&broker.port().to_string()) && why.contains("refused"), "{why}");
    broker.start();
    wait_for(&mut link, |event| *event == Event::Connected);
}

/// Closing without a broker gives up when its time is over; dropping does not wait at all.
#[test]
fn closing_without_a_broker_ends_in_time() {
    let broker = Mosquitto::prepared(|_| String::new());
    let mut config = config(&broker.url(), "pi");
    config.patience = SHORT;
    let begun = Instant::now();
    let mut link = connect(&config).unwrap();
    link.publish("t", vec![1], false).unwrap();
    assert!(matches!(Box::new(link).close(None), Err(LinkError::Busy { .. })));
    drop(connect(&config).unwrap());
    assert!(begun.elapsed() < LONG / 3);
}

/// A second session of the same name ends the first, and the two do not fight for ever at full speed.
#[test]
fn two_clients_of_one_name_take_turns_with_growing_pauses() {
    let broker = Mosquitto::open();
    let (mut one, mut two) =
        (connected(&config(&broker.url(), "twin")), connected(&config(&broker.url(), "twin")));
    wait_for(&mut one, |event| matches!(event, Event::Disconnected(_)));
    wait_for(&mut two, |event| matches!(event, Event::Disconnected(_)));
    std::thread::sleep(LONG / 10);
    let turns = broker.log().matches("New client connected").count();
    assert!((3..40).contains(&turns), "{turns}");
}
