//! A device that lies. It has a valid certificate, and says whatever it likes wherever it likes: each lie costs a counted
//! refusal, and the run ends as if nothing had been said.

use super::client::Client;
use super::kill::undisturbed;
use super::world::{World, device};
use sprig_transport::messages::{
    Body, DeviceId, Job, Phase, Presence, Receipt, Round, Task, Update, Verdict, Want,
};
use sprig_transport::topics::Topics;
use std::process::Command;

/// A packet larger than the broker takes, which our own client would not send.
fn say_too_much(world: &World, id: &str, topic: &str) {
    world.scene.write("large", &"x".repeat(100_000));
    let mut client = Command::new("mosquitto_pub");
    let port = world.port().to_string();
    client.args(["-V", "mqttv311", "-q", "1", "-i", id, "-h", "localhost", "-p", &port, "-t", topic]);
    for (option, file) in [("--cafile", "ca.crt"), ("--cert", "device.crt"), ("--key", "device.key")] {
        client.arg(option).arg(world.folder(&format!("fleet/devices/{id}/{file}")));
    }
    let ran = client.arg("-f").arg(world.folder("large")).output();
    let ran = ran.expect("no mosquitto_pub: run `cargo xtask test`, which installs it");
    assert!(!ran.status.success(), "{ran:?}");
}

#[test]
fn a_device_that_lies_costs_logged_refusals_and_nothing_else() {
    let reference = undisturbed("");
    let mut world = World::new("");
    let mut ear = Client::ear(&mut world);
    let (stolen, other) = (device(1), device(2));
    let topics = Topics::new("test").unwrap();
    let [me, them] = [&stolen, &other].map(|name| DeviceId::parse(name).unwrap());
    let update = topics.update(&me);

    // Round 0 stays open: the device whose certificate was stolen stands still, the other has reported.
    let config = "--config fleet/coordinator/fleet.toml";
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.scene.done(&format!("fleet pause {config}"));
    for name in [&stolen, &other] {
        world.start(name);
        world.until("joined", |_, e| e["event"] == "joined" && e["device"] == **name);
    }
    world.freeze(&stolen, true);
    world.scene.done(&format!("fleet resume {config}"));
    world.until("accepted", |_, e| e["event"] == "accepted" && e["device"] == *other);
    let theirs = ear.last(&topics.update(&them), Update::decode);

    say_too_much(&world, &stolen, &update);
    let mut rogue = Client::enter(&world, &stolen);
    let task = rogue.last(&topics.task(&me), Task::decode);
    // No loss that the devices have, so that lies can be told from what they say.
    let sound = Update { number: task.number, groups: task.groups, loss: 5.0, ..theirs.clone() };
    let scalars = |value: f32| Body::Scalars(vec![value; 4]);
    let gone = Presence {
        online: false,
        session: u64::MAX,
        board: String::new(),
        software: String::new(),
        budget: 0,
        rate: 0.0,
        tangents: 0,
        examples: 0,
    };
    let (run, base) = (task.run, task.base);
    let forged = [
        (topics.update(&them), Update { loss: 9.0, ..theirs.clone() }.encode()),
        (topics.presence(&them), gone.encode()),
        (
            topics.receipt(&them),
            Receipt { run, round: 0, verdict: Verdict::Accepted, text: "x".into() }.encode(),
        ),
        (topics.task(&them), Task { attempt: 7, ..task.clone() }.encode()),
        (topics.job(), Job { run, settings: "x".into(), over: None }.encode()),
        (topics.round(), Round { run, round: 3, phase: Phase::Finished, base, result: None }.encode()),
    ];
    let want = Want { run, round: 0, base, resume: None };
    let lies = [
        ("wrong round", Update { round: 1, ..sound.clone() }.encode()),
        ("not finite", Update { body: scalars(f32::NAN), ..sound.clone() }.encode()),
        ("norm", Update { body: scalars(1e7), ..sound.clone() }.encode()),
        ("wrong base", Update { base: sprig_transport::messages::Digest([7; 32]), ..sound.clone() }.encode()),
        ("wrong device", Update { number: theirs.number, ..sound.clone() }.encode()),
        ("malformed", want.encode()),
        ("malformed", vec![0xff; 64]),
        ("too large", vec![0; Update::MAX + 1]),
    ];
    for (topic, payload) in &forged {
        rogue.say(topic, payload);
    }
    for (reason, payload) in &lies {
        rogue.say(&update, payload);
        let told = world.until(reason, |_, e| e["event"] == "refused");
        assert_eq!(
            (told["device"].as_str(), told["reason"].as_str()),
            (Some(&*stolen), Some(*reason)),
            "{told}"
        );
        assert!(told["text"].as_str().is_some_and(|t| !t.is_empty()), "{told}");
    }
    let last = lies[lies.len() - 1].1.clone();
    ear.until("the last lie", |heard| heard.iter().any(|(_, p)| *p == last).then_some(()));
    // What came on the same connection before it was stopped by the broker.
    assert!(forged.iter().all(|(_, payload)| !ear.heard(payload)));
    assert!(ear.heard.iter().all(|(_, payload)| payload.len() < 100_000));
    let refused = |world: &World| {
        let status = world.scene.done(&format!("fleet status --json {config}")).last();
        let of = |name: &str| {
            let devices = status["devices"].as_array().unwrap();
            let device = devices.iter().find(|d| d["id"] == *name).unwrap();
            (device["refused"].as_u64().unwrap(), device["last_refusal"].as_str().map(str::to_owned))
        };
        assert_eq!((status["strange"].as_u64(), of(&other)), (Some(0), (0, None)), "{status}");
        of(&stolen)
    };
    assert_eq!(refused(&world), (lies.len() as u64, Some("too large".to_owned())));
    rogue.leave();

    // The device goes on; in round 1 it has reported and the other stands still. Its own words come again.
    world.freeze(&other, true);
    world.freeze(&stolen, false);
    for round in 0..2 {
        world.until("accepted", |_, e| {
            e["event"] == "accepted" && e["device"] == *stolen && e["round"] == round
        });
    }
    world.freeze(&stolen, true);
    let own = |heard: &[(String, Vec<u8>)], round: u32| {
        let ours = |u: Update| u.round == round && u.loss != sound.loss;
        let mut said = heard.iter().filter(|(t, _)| *t == update);
        said.find(|(_, p)| Update::decode(p).is_ok_and(ours)).map(|(_, p)| p.clone())
    };
    let first = ear.until("an update of round 0", |heard| own(heard, 0));
    let second = ear.until("an update of round 1", |heard| own(heard, 1));
    let mut rogue = Client::enter(&world, &stolen);
    let mut changed = Update::decode(&second).unwrap();
    changed.body = scalars(-1.0);
    for payload in [second, changed.encode()] {
        rogue.say(&update, &payload);
    }
    rogue.say(&update, &first);
    let told = world.until("round closed", |_, e| e["event"] == "refused");
    assert_eq!(told["reason"], "round closed", "{told}");
    let verdicts = rogue.until("three receipts", |heard| {
        let receipts = heard.iter().filter(|(t, _)| *t == topics.receipt(&me));
        let verdicts = receipts.map(|(_, p)| Receipt::decode(p).unwrap().verdict);
        // The device's own receipt may still be on its way when the rogue comes in; the ledger shows that nothing else
        // was accepted.
        let verdicts: Vec<_> = verdicts.filter(|verdict| *verdict != Verdict::Accepted).collect();
        (verdicts.len() == 3).then_some(verdicts)
    });
    assert_eq!(verdicts[..2], [Verdict::Duplicate; 2]);
    assert_eq!(refused(&world), (lies.len() as u64 + 1, Some("round closed".to_owned())));
    rogue.leave();
    world.freeze(&stolen, false);
    world.freeze(&other, false);

    world.finish();
    assert_eq!(world.ledger(), reference.ledger);
    assert_eq!(world.adapter(), reference.adapter);
    let dropped: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "dropped").collect();
    assert!(dropped.is_empty(), "{dropped:?}");
}
