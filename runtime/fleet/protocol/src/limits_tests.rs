//! Every limit of what travels, from both sides: the largest that settings allow is encoded, fits a packet and is read back;
//! one more is refused at the start, with the setting, and as it is encoded.

use super::*;
use crate::dense;
use crate::settings::{Rounds, RoundsTable};
use sprig_transport::blob::MAX_CHUNK;
use sprig_transport::link::{Event, Link, MAX_PAYLOAD, MAX_TOPIC};
use sprig_transport::memory;
use sprig_transport::messages::{
    Body, Contribution, DeviceId, Digest, GroupSet, Job, MAX_BINS, MAX_CONTRIBUTIONS, MAX_INLINE,
    MAX_REGIONS, MAX_SCALARS, Offer, Presence, Receipt, Record, Region, Report, Round, RunId, Snapshot, Task,
    Update, Want,
};
use sprig_transport::topics::Topics;
use std::time::Duration;

/// `groups` groups of 1,000 weights.
fn layout(groups: usize) -> Layout {
    Layout::synthetic(groups, 1000)
}

fn refused(train: &Train, groups: usize) -> Option<String> {
    check(train, &layout(groups)).err().map(|e| e.to_string())
}

/// A training of two labels with these lines.
fn train(lines: &str) -> Train {
    toml::from_str(&format!("labels = [\"a\", \"b\"]\n{lines}")).unwrap()
}

#[test]
fn adapters_and_moments_that_cannot_be_read_back_are_refused() {
    let adam = train("server.rule = \"adam\"");
    assert_eq!(refused(&adam, 4194), None);
    let error = refused(&adam, 4195).unwrap();
    assert!(error.contains("[train] server.rule = \"adam\"") && error.contains("8388608"), "{error}");
    let avg = train("server.rule = \"avg\"");
    assert_eq!(refused(&avg, 8388), None);
    let error = refused(&avg, 8389).unwrap();
    assert!(error.contains("[train] adapter = \"lora-xs\"") && error.contains("rank"), "{error}");
}

#[test]
fn sums_that_cannot_be_hidden_are_refused() {
    let train = |secure: bool| {
        train(&format!("server.rule = \"avg\"\n[readout]\ndirections = 2048\nsecure_aggregation = {secure}"))
    };
    assert_eq!(refused(&train(true), 2097), None);
    let error = refused(&train(true), 2098).unwrap();
    assert!(error.contains("directions = 2048") && error.contains("1049000 numbers"), "{error}");
    assert!(error.contains("1048576 can be aggregated"), "{error}");
    assert_eq!(refused(&train(false), 2098), None);
}

/// Scalars that are more than a message holds go in pieces, up to the largest blob there is.
#[test]
fn updates_that_no_blob_can_hold_are_refused() {
    let epoch = |steps: u32, up: &str| {
        train(&format!(
            "mode = \"per-epoch\"\nlocal_steps = {steps}\ntangents = 64\nbatch = 128\nup = {up:?}"
        ))
    };
    assert_eq!(refused(&epoch(1024, "scalars"), 6), None);
    let error = refused(&epoch(1025, "scalars"), 6).unwrap();
    assert!(error.contains("local_steps = 1025") && error.contains("8396800"), "{error}");
    assert!(error.contains("8388608") && error.contains("up = \"weights\""), "{error}");
    assert_eq!(refused(&epoch(1025, "weights"), 6), None);
    let most = "task = \"pair\"\nobjective = \"catto\"\nparts = true\ntangents = 64\nbatch = 4096";
    assert_eq!(refused(&train(most), 6), None);
    assert!(toml::from_str::<Train>("task = \"pair\"\nbatch = 4097").is_err());
}

#[test]
fn jobs_that_no_announcement_can_hold_are_refused() {
    let job = |template: usize| {
        let line = format!("template = \"{{text}} {{options}} {}\"", "x".repeat(template));
        JobSettings::new("ab".repeat(32), train(&line))
    };
    assert!(check_job(&job(100)).is_ok());
    let error = check_job(&job(MAX_SETTINGS)).unwrap_err().to_string();
    assert!(error.contains("[train] labels = 2 labels") && error.contains("16384"), "{error}");
}

const RUN: RunId = RunId([7; 16]);

fn update(scalars: usize) -> Update {
    let groups = GroupSet::new(0, 1, 1).unwrap();
    let (body, bins) =
        (Body::Scalars(vec![1.0; scalars]), vec![[u64::from(u32::MAX), 1, u64::MAX]; MAX_BINS]);
    let (round, number, examples) = (u32::MAX, u32::MAX, u32::MAX);
    Update { run: RUN, round, number, groups, base: Digest([1; 32]), examples, loss: 1.0, bins, body }
}

fn snapshot(values: usize, moments: usize) -> Snapshot {
    let (values, moments) = (vec![1.0; values], vec![1.0; moments]);
    Snapshot { run: RUN, round: u32::MAX, after: Digest([1; 32]), values, moments }
}

/// What a broker makes of a message at the longest topic there is.
fn travels(payload: &[u8]) -> Vec<u8> {
    let hub = memory::broker();
    let name = "a".repeat(48);
    let topics = Topics::new(&name).unwrap();
    let topic = topics.up(&DeviceId::parse(&name).unwrap(), &Digest([1; 32]), u32::MAX);
    assert!(topic.len() <= MAX_TOPIC);
    let (mut from, mut to) = (hub.link("from", None), hub.link("to", None));
    to.subscribe(&topic).unwrap();
    from.publish(&topic, payload.to_vec(), false).unwrap();
    std::iter::repeat_with(|| to.next(Duration::from_secs(1)).unwrap())
        .find_map(|event| match event {
            Some(Event::Message { payload, .. }) => Some(payload),
            Some(_) => None,
            None => panic!("it did not arrive"),
        })
        .unwrap()
}

#[test]
fn the_most_scalars_travel_in_a_message_and_one_step_more_in_pieces() {
    // 4,000 examples along 4 tangents.
    let (most, more) = (train("batch = 4000\ntangents = 4"), train("batch = 4001\ntangents = 4"));
    let count = |train: &Train| train.rules().sent_count(train.rules().examples());
    assert_eq!(count(&most), MAX_SCALARS);
    assert_eq!(refused(&most, 6), None);
    let bytes = update(count(&most)).checked().unwrap();
    assert_eq!(Update::decode(&travels(&bytes)).unwrap(), update(MAX_SCALARS));
    assert_eq!(refused(&more, 6), None);
    let rules = |train: &Train| dense::heap_bytes(&train.rules(), train.up).0;
    assert_eq!((rules(&most), rules(&more)), (0, 8 * count(&more) as u64));
    for scalars in [MAX_SCALARS + 1, count(&more)] {
        let error = update(scalars).checked().unwrap_err().to_string();
        assert!(error.contains("field `scalars`") && error.contains("64000"), "{error}");
    }
}

#[test]
fn the_largest_adapter_is_read_back_and_one_weight_more_is_refused() {
    let (avg, adam) = (train("server.rule = \"avg\""), train("server.rule = \"adam\""));
    let fits = |train, weights| check(train, &Layout::synthetic(1, weights)).is_ok();
    assert!(fits(&avg, MAX_VALUES) && !fits(&avg, MAX_VALUES + 1));
    assert!(fits(&adam, MAX_VALUES / 2) && !fits(&adam, MAX_VALUES / 2 + 1));
    let (n, moments) = (MAX_VALUES / 2, adam.rules().server.moments());
    assert!(snapshot(MAX_VALUES, 0).checked().is_ok() && snapshot(n, n * moments).checked().is_ok());
    let error = |values, moments| snapshot(values, moments).checked().unwrap_err().to_string();
    assert!(error(MAX_VALUES + 1, 0).contains("field `values`"));
    assert!(error(n + 1, (n + 1) * moments).contains("field `moments`"));
    assert!(snapshot(MAX_VALUES, MAX_VALUES).encode().len() <= Snapshot::MAX);
}

#[test]
fn the_longest_job_travels_and_one_byte_more_is_refused() {
    let job = |template: usize| {
        let line = format!("template = \"{{text}} {{options}} {}\"", "x".repeat(template));
        JobSettings::new("ab".repeat(32), train(&line))
    };
    let room = MAX_SETTINGS - job(0).to_text().len();
    let announced = |job: &JobSettings| Job { run: RUN, settings: job.to_text(), over: None }.checked();
    let longest = job(room);
    assert!(longest.to_text().len() == MAX_SETTINGS && check_job(&longest).is_ok());
    let heard = Job::decode(&travels(&announced(&longest).unwrap())).unwrap();
    assert_eq!(JobSettings::announced(&heard.settings).unwrap(), (longest, Vec::new()));
    assert!(check_job(&job(room + 1)).is_err());
    assert!(announced(&job(room + 1)).unwrap_err().to_string().contains("field `settings`"));
}

/// A round of all the devices that settings allow has a record, or is announced by its adapter.
#[test]
fn a_record_has_room_for_the_devices_of_a_round() {
    let devices = |n: u32| toml::from_str::<RoundsTable>(&format!("devices = {n}")).map(Rounds::new);
    assert!(devices(65_535).is_ok() && devices(65_536).is_err());
    let record = |n: usize| Record {
        run: RUN,
        round: 1,
        base: Digest([1; 32]),
        after: Digest([2; 32]),
        contributions: (0..n as u32)
            .map(|number| Contribution {
                number,
                groups: GroupSet::new(0, 1, 1).unwrap(),
                examples: 8,
                scalars: vec![1.0; 32],
            })
            .collect(),
    };
    assert!(record(MAX_CONTRIBUTIONS).checked().is_ok());
    assert!(record(MAX_CONTRIBUTIONS + 1).checked().is_err());
}

#[test]
fn a_report_has_room_for_the_regions_of_a_plan() {
    let region = Region { name: "x".repeat(32), planned: u64::MAX, measured: Some(u64::MAX) };
    let report = |n| Report {
        run: RUN,
        round: 1,
        budget: u64::MAX,
        planned: u64::MAX,
        peak: u64::MAX,
        heap_peak: u64::MAX,
        weights: u64::MAX,
        seconds: 1.0,
        tokens: u32::MAX,
        up: u64::MAX,
        down: u64::MAX,
        regions: vec![region.clone(); n],
        celsius: Some(f32::MAX),
        held_back: Some(u8::MAX),
    };
    let bytes = report(MAX_REGIONS).checked().unwrap();
    assert_eq!(Report::decode(&travels(&bytes)).unwrap(), report(MAX_REGIONS));
    assert!(report(MAX_REGIONS + 1).checked().unwrap_err().to_string().contains("field `regions`"));
}

/// What goes in one message fits one, whatever it says; records and snapshots go in pieces, each of which does.
#[test]
fn every_message_fits_a_packet() {
    let sizes = [
        Presence::MAX,
        Job::MAX,
        Round::MAX,
        Task::MAX,
        Update::MAX,
        Receipt::MAX,
        Report::MAX,
        Want::MAX,
        Offer::MAX,
        MAX_CHUNK,
    ];
    assert!(sizes.iter().all(|size| *size <= MAX_PAYLOAD), "{sizes:?}");
    const { assert!(MAX_INLINE < Round::MAX && Snapshot::MAX < u32::MAX as usize) }
    assert_eq!(travels(&vec![7; MAX_PAYLOAD]).len(), MAX_PAYLOAD);
    let mut link = memory::broker().link("one", None);
    let error = link.publish("a", vec![7; MAX_PAYLOAD + 1], false).unwrap_err().to_string();
    assert!(error.contains("65536"), "{error}");
}
