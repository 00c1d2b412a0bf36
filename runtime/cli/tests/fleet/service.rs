//! A fleet as services: what a supervisor hears, what a scraper reads, and that it is what the events say.

use super::world::{World, device};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const CONFIG: &str = "--config fleet/coordinator/fleet.toml";

/// A fleet in which everybody serves metrics.
fn world() -> World {
    let world = World::new("");
    for (file, table) in [
        ("fleet/coordinator/fleet.toml".to_owned(), "[coordinator]\n"),
        (format!("fleet/devices/{}/device.toml", device(1)), "[agent]\n"),
    ] {
        let settings = std::fs::read_to_string(world.folder(&file)).unwrap();
        let with = settings.replace(table, &format!("{table}metrics = \"127.0.0.1:0\"\n"));
        assert_ne!(settings, with);
        world.scene.write(&file, &with);
    }
    world
}

/// Waits until `who` says where its metrics are.
fn address(world: &mut World, who: &str) -> String {
    let event = world.until("metrics", |name, e| name == who && e["event"] == "metrics");
    let url = event["url"].as_str().unwrap();
    url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned()
}

/// Status and text of an answer.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    if path == "/metrics" {
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    }
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The samples of a text, which must be one that OpenMetrics allows.
fn scraped(address: &str) -> BTreeMap<String, f64> {
    let (code, text) = get(address, "/metrics");
    assert!(code == 200 && text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    let (mut samples, mut kinds, mut family, mut helped) =
        (BTreeMap::new(), BTreeMap::new(), "", String::new());
    for line in text.lines().take_while(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                assert!(kinds.insert(name, kind).is_none(), "{name} comes twice");
                family = name;
            }
            ["#", "UNIT", name, unit] => assert!(name == family && name.ends_with(&format!("_{unit}"))),
            ["#", "HELP", name, _] => {
                assert_eq!(name, family);
                name.clone_into(&mut helped);
            }
            [sample, value] => {
                let name = sample.split('{').next().unwrap();
                let end = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
                let ends: &[&str] = match kinds[family] {
                    "counter" => &["_total"],
                    "summary" => &["_count", "_sum"],
                    "info" => &["_info"],
                    _ => &[""],
                };
                assert!(helped == family && ends.contains(&end), "{line}");
                let value: f64 = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
                assert!(samples.insert(sample.to_owned(), value).is_none(), "{line}");
            }
            _ => panic!("no line of OpenMetrics: {line}"),
        }
    }
    samples
}

/// How many events of `who` are as wanted.
fn count(world: &World, who: &str, wanted: impl Fn(&Value) -> bool) -> f64 {
    world.events.iter().filter(|(name, event)| name == who && wanted(event)).count() as f64
}

#[test]
fn metrics_agree_with_the_events() {
    let mut world = world();
    world.start("coordinator");
    let coordinator = address(&mut world, "coordinator");
    world.start(&device(1));
    let agent = address(&mut world, &device(1));
    world.start(&device(2));
    world.until("a second round", |_, e| e["event"] == "round" && e["round"] == 1);
    world.scene.done(&format!("fleet pause {CONFIG}"));
    world.until("a pause", |_, e| e["event"] == "paused");
    let until = Instant::now() + PATIENCE;
    loop {
        while world.next(Duration::from_millis(300)).is_some() {}
        let (fleet, own) = (scraped(&coordinator), scraped(&agent));
        let of = |who: &str, name: &str| count(&world, who, |e| e["event"] == name);
        let one = device(1);
        let accepted = |e: &Value| e["event"] == "receipt" && e["verdict"] == "accepted";
        let ended =
            |state: &str| count(&world, "coordinator", |e| e["event"] == "round" && e["state"] == state);
        let wanted = [
            (&fleet, "sprig_rounds_total{state=\"closed\"}", ended("closed")),
            (&fleet, "sprig_rounds_total{state=\"reverted\"}", ended("reverted")),
            (&fleet, "sprig_round_seconds_count", of("coordinator", "round")),
            (&fleet, "sprig_updates_total{verdict=\"accepted\"}", of("coordinator", "accepted")),
            (&fleet, "sprig_devices_online", 2.0),
            (&own, "sprig_rounds_trained_total", of(&one, "trained")),
            (&own, "sprig_updates_sent_total", of(&one, "sent")),
            (&own, "sprig_updates_total{verdict=\"accepted\"}", count(&world, &one, accepted)),
        ];
        let off: Vec<_> =
            wanted.iter().filter(|(from, name, value)| from.get(*name) != Some(value)).collect();
        if off.is_empty() {
            assert!(fleet["sprig_round_seconds_count"] >= 2.0 && fleet["sprig_round"] >= 2.0);
            assert!(fleet["sprig_received_bytes_total"] > 0.0 && own["sprig_sent_bytes_total"] > 0.0);
            assert!(own["sprig_peak_resident_bytes"] < own["sprig_budget_bytes"], "{own:?}");
            let accuracy = fleet["sprig_accuracy_ratio"];
            assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
            break;
        }
        assert!(Instant::now() < until, "{off:#?}");
    }
    assert_eq!((get(&coordinator, "/healthz").0, get(&agent, "/healthz").0), (200, 200));
    // Without a broker both say so, and are well again with it.
    world.stop_broker();
    for (who, address) in [("coordinator".to_owned(), &coordinator), (device(1), &agent)] {
        if !world.events.iter().any(|(name, e)| *name == who && e["event"] == "disconnected") {
            world.until("a loss", |name, e| name == who && e["event"] == "disconnected");
        }
        let (code, why) = get(address, "/healthz");
        assert!(code == 503 && why.contains("not connected to the broker"), "{code} {why}");
    }
    world.start_broker();
    world.scene.done(&format!("fleet resume {CONFIG}"));
    world.finish();
}

/// A supervisor's socket, and what it hears.
fn supervisor(world: &World, name: &str) -> (PathBuf, Receiver<String>) {
    let path = world.folder(name);
    let socket = UnixDatagram::bind(&path).unwrap();
    let (say, heard) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n) = socket.recv(&mut bytes) {
            if say.send(String::from_utf8_lossy(&bytes[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    (path, heard)
}

/// What is heard until `wanted`, that too.
fn until(heard: &Receiver<String>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let (end, mut all) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        match heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push(line),
            Err(_) => panic!("not heard: {all:#?}"),
        }
        if all.last().is_some_and(|line| wanted(line)) {
            return all;
        }
    }
}

#[test]
fn a_supervisor_hears_how_a_service_goes() {
    let mut world = World::new("");
    world.stop_broker();
    let (path, coordinator) = supervisor(&world, "c.sock");
    world.set = vec![("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "200000".into())];
    world.start("coordinator");
    // The loop turns, and nobody has let it in.
    let mut alive = 0;
    while alive < 3 {
        let heard = until(&coordinator, |line| line == "WATCHDOG=1");
        assert!(!heard.contains(&"READY=1".to_owned()), "{heard:?}");
        alive += 1;
    }
    world.start_broker();
    until(&coordinator, |line| line == "READY=1");
    let (path, agent) = supervisor(&world, "a.sock");
    world.set[0].1 = path;
    world.start(&device(1));
    let heard = until(&agent, |line| line == "READY=1");
    assert_eq!(heard.iter().filter(|line| *line == "READY=1").count(), 1);
    world.set.clear();
    world.start(&device(2));
    let heard = until(&coordinator, |line| line == "STATUS=round 2 of 4, 2 devices online");
    assert!(heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
    // A process that stands still is heard no more, and would be ended.
    world.freeze("coordinator", true);
    while coordinator.recv_timeout(Duration::from_millis(600)).is_ok() {}
    world.freeze("coordinator", false);
    until(&coordinator, |line| line == "WATCHDOG=1");
    world.finish();
    for heard in [&coordinator, &agent] {
        let rest: Vec<_> = heard.try_iter().collect();
        assert!(rest.iter().any(|line| line == "STOPPING=1"), "{rest:?}");
    }
    let heard: Vec<_> = world.events.iter().filter(|(who, _)| who == "coordinator").collect();
    assert!(heard.iter().all(|(_, e)| e["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
}
