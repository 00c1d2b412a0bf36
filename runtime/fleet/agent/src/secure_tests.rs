//! Secure aggregation over the real coordinator: devices of the real model, whose sums nobody sees.

use super::tests::{Device, RECORDS, Scene, dealt};
use super::*;
use crate::{AgentEvent, State};
use sprig_protocol::settings::{LocalData, ReadOut};
use sprig_transport::link::{Event, Link};
use sprig_transport::messages::{GroupSet, Receipt, Update};
use std::ops::Range;

const PARTS: [Range<usize>; 4] = [0..5, 5..9, 9..14, 14..RECORDS];

/// A fleet that goes on without a device of which nothing was heard for three times `resend`.
fn secure(resend: Duration) -> Scene {
    let mut scene = scene();
    scene.resend = resend;
    scene
}

/// Longer than any test: nobody is given up.
const PATIENT: Duration = Duration::from_secs(100);
/// A device that is slow for a second and a half in a test is lost.
const QUICK: Duration = Duration::from_millis(500);

fn scene() -> Scene {
    Scene::of(ReadOut {
        min_examples: super::tests::toml_of(1),
        secure_aggregation: true,
        ..ReadOut::default()
    })
}

fn devices(scene: &Scene) -> Vec<Device> {
    (0..).zip(PARTS).map(|(i, of)| scene.device(&format!("device-{i}"), of)).collect()
}

fn whole() -> FleetSums {
    dealt(std::slice::from_ref(&(0..RECORDS))).1
}

#[test]
fn the_total_of_veiled_sums_is_that_of_plain_ones_to_the_bit() {
    let scene = secure(PATIENT);
    let coordinator = scene.coordinator(1, 4);
    let (rows, total) = scene.finish(coordinator, &mut devices(&scene));
    assert_eq!((rows[0].reported, rows[0].refused, total), (4, 0, whole()));
}

#[test]
fn whoever_hides_its_sums_sends_none_as_they_are() {
    let hiding = LocalData { train: "data.jsonl".into(), dp: None, secure_aggregation: true };
    assert!(hiding.admits(&scene().train).is_ok());
    assert!(hiding.admits(&Scene::of(ReadOut::default()).train).is_err());
}

/// All that passes the broker: no device's sums are in it, as they would be sent without veils or as whole numbers, though the
/// same search finds them in a fleet that sends them as they are.
#[test]
fn no_message_holds_the_sums_of_a_device() {
    for hidden in [true, false] {
        let scene = if hidden { secure(PATIENT) } else { Scene::with(1, None) };
        let mut broker = scene.hub.link("broker", None);
        broker.subscribe("sprig/1/test/#").unwrap();
        let mut coordinator = scene.coordinator(1, 4);
        let mut devices = devices(&scene);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        while devices.iter().any(|device| device.agent.state() != State::Finished) {
            scene.turn(&mut coordinator, &mut devices);
            while let Some(event) = broker.next(Duration::ZERO).unwrap() {
                if let Event::Message { payload, .. } = event {
                    seen.push(payload);
                }
            }
        }
        let holds =
            |needle: &[u8]| seen.iter().any(|b| b.windows(needle.len()).any(|window| window == needle));
        for part in PARTS {
            let (_, own) = dealt(&[part]);
            let packed = own.packed();
            let numbers = FleetSums::unpack(&packed, own.shape().numbers()).unwrap();
            let words: Vec<u8> = numbers[2..6].iter().flat_map(|n| n.to_le_bytes()).collect();
            assert_eq!((holds(&packed), holds(&words)), (!hidden, false));
        }
    }
}

/// A coordinator that announced to hide sums, and asks for them as they are, has none.
#[test]
fn sums_that_were_to_be_hidden_are_not_sent_as_they_are() {
    let scene = secure(PATIENT);
    let (opened, settings, data) = scene.opened("device-0", 0..9).unwrap();
    let opened = super::tests::leak(opened);
    let engine: &'static Engine<'static> = super::tests::leak(scene.base.engine(&opened.planned).unwrap());
    let mut worker = SumsWorker::new(scene.base, engine, opened, &data.train, &settings, "digest").unwrap();
    let groups = GroupSet { first: 0, step: 1, count: 1 };
    let (run, base) = (super::tests::RUN, worker.digest());
    let mut task = Task { run, round: 0, number: 1, groups, base, attempt: 0, seconds: 60, word: Vec::new() };
    assert!(
        matches!(worker.begin(&task, None).unwrap(), Begun::Declined(why) if why.contains("as they are"))
    );
    task.word = vec![8];
    assert_eq!(worker.begin(&task, None).unwrap(), Begun::Part);
}

/// Two of four cannot be lost, one can: at whatever stage it goes, the others have their total, and it has none of its sums in
/// it unless they had come.
#[test]
fn a_device_that_is_lost_is_made_up_for() {
    for said in 1..=4 {
        let scene = secure(QUICK);
        let mut coordinator = scene.coordinator(1, 4);
        let mut devices = devices(&scene);
        let mut broker = scene.hub.link("broker", None);
        broker.subscribe("sprig/1/test/update/device-3").unwrap();
        // Keys, packages, veiled sums, answer: gone once it has said so many of them.
        let mut told = 0;
        while told < said {
            scene.turn(&mut coordinator, &mut devices);
            while let Some(event) = broker.next(Duration::ZERO).unwrap() {
                if let Event::Message { payload, .. } = event
                    && Update::decode(&payload).is_ok()
                {
                    told += 1;
                }
            }
        }
        let lost = devices.pop().unwrap();
        drop(lost);
        let (rows, total) = scene.finish(coordinator, &mut devices);
        let (reported, expected) = if total.examples() == RECORDS as u64 {
            (4, whole())
        } else {
            (3, dealt(std::slice::from_ref(&(0..14))).1)
        };
        assert!(said >= 3 || reported == 3, "said {said} of 4, reported {reported}");
        assert_eq!((rows[0].reported, total), (reported, expected), "said {said} of 4");
    }
}

/// Noise is drawn once, though the attempt in which it was veiled came to nothing.
#[test]
fn a_second_attempt_hides_the_same_sums() {
    let scene = secure(QUICK);
    let mut coordinator = scene.coordinator(1, 4);
    let mut devices = devices(&scene);
    let mut broker = scene.hub.link("broker", None);
    broker.subscribe("sprig/1/test/#").unwrap();
    // Of what was said since it was asked last: keys, receipts, and whether there is a second attempt.
    let said = |broker: &mut dyn Link| {
        let (mut words, mut receipts, mut again) = (0, 0, false);
        while let Some(event) = broker.next(Duration::ZERO).unwrap() {
            let Event::Message { payload, .. } = event else { continue };
            words += u32::from(Update::decode(&payload).is_ok());
            receipts += u32::from(Receipt::decode(&payload).is_ok());
            again |= Task::decode(&payload).is_ok_and(|task| task.attempt > 0);
        }
        (words, receipts, again)
    };
    // Two of four hear nothing any more once all have sent their keys: two are too few to open anything.
    let mut keys = 0;
    while keys < 4 {
        scene.turn(&mut coordinator, &mut devices);
        keys += said(&mut broker).0;
    }
    let mut away = devices.split_off(2);
    loop {
        scene.turn(&mut coordinator, &mut devices);
        let (_, receipts, again) = said(&mut broker);
        assert_eq!(receipts, 0, "something counts before a total is out");
        if again {
            break;
        }
    }
    devices.append(&mut away);
    let (rows, total) = scene.finish(coordinator, &mut devices);
    assert_eq!((rows[0].reported, total), (4, whole()));
    for device in &devices {
        let sums = device.events.borrow().iter().filter(|e| matches!(e, AgentEvent::Training { .. })).count();
        assert_eq!(sums, 1, "sums are made once");
    }
}

/// A fleet whose devices share the noise among so many.
fn sharing(among: u32) -> Scene {
    let mut scene = Scene::of(ReadOut {
        min_examples: super::tests::toml_of(1),
        secure_aggregation: true,
        dp: Some(Epsilon::new(20.0).unwrap()),
        noise_among: Some(super::tests::toml_of(among)),
        ..ReadOut::default()
    });
    scene.resend = PATIENT;
    scene
}

/// Three of four have to stay, so three can share the noise: of their parts the coordinator makes sums that all checks take,
/// others each time.
#[test]
fn parts_of_noise_are_put_together_by_the_coordinator() {
    let total = || {
        let scene = sharing(3);
        let coordinator = scene.coordinator(1, 4);
        let (rows, total) = scene.finish(coordinator, &mut devices(&scene));
        assert_eq!((rows[0].reported, rows[0].refused, total.examples()), (4, 0, RECORDS as u64));
        total
    };
    let (one, other) = (total(), total());
    assert!(one != other && one != whole());
}

/// Four cannot where three are enough to open a total: no device says anything then.
#[test]
fn a_total_of_fewer_than_share_the_noise_is_not_helped_to() {
    let scene = sharing(4);
    let mut coordinator = scene.coordinator(1, 4);
    let mut devices = devices(&scene);
    let passed = |device: &Device| {
        let why = |event: &AgentEvent| match event {
            AgentEvent::Passed { why, .. } => Some(why.clone()),
            _ => None,
        };
        device.events.borrow().iter().find_map(why)
    };
    while devices.iter().any(|device| passed(device).is_none()) {
        scene.turn(&mut coordinator, &mut devices);
    }
    for device in &devices {
        let why = passed(device).unwrap();
        assert!(why.contains("totals of 3 devices, and 4 share the noise"), "{why}");
    }
    assert_eq!(coordinator.view().unwrap().round, 0);
}
