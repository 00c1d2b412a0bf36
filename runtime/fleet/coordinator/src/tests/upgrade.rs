//! A run that an earlier program began is gone on with.

use super::world::{self, RUN, World, digest, layout, options};
use crate::core::Core;
use crate::decision::Outward;
use crate::event::Event;
use crate::ledger::Ledger;
use crate::*;
use sprig_protocol::settings::{JobSettings, Train, TrainTable, Version};
use sprig_testkit::power::Disk;
use sprig_transport::messages::{Reason, Receipt, Verdict};
use sprig_transport::topics::Topic;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROUNDS: u32 = 5;
const DEVICES: usize = 3;
/// Steps of a run until three rounds are done, and two of three updates of the fourth are in the ledger.
const STEPS: u32 = 75;

/// A fleet whose every event is a transaction of its own.
fn world() -> World {
    let labels = vec!["yes".to_owned(), "no".to_owned()];
    let train = Train::new(TrainTable { labels, ..TrainTable::default() }).unwrap();
    let settings = JobSettings::new("ab".repeat(32), train).to_text();
    let mut world = World::new(Options { settings, ..options(DEVICES as u32, ROUNDS) }, DEVICES);
    world.group = 1;
    world
}

fn core(folder: &Path, options: &Arc<Options>) -> Core {
    let ledger = Ledger::open(folder, RUN, &options.settings).unwrap();
    Core::open(ledger, options, layout(), vec![0.5; layout().len()]).unwrap()
}

/// The ledger that the last program of `format` left.
fn kept(format: u32) -> PathBuf {
    format!("{}/src/tests/kept/ledger-{format}.redb", env!("CARGO_MANIFEST_DIR")).into()
}

/// A folder with the ledger of `format`.
fn left_by(format: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(kept(format), folder.path().join("ledger.redb")).unwrap();
    folder
}

/// A ledger that the last program of format 1 left in the middle of a round goes on, and ends as if one program had done it
/// all. (`SPRIG_WRITE_LEDGER` names where this program's own is to be kept for those to come.)
#[test]
fn a_run_goes_on_under_a_later_program() {
    let (folder, mut undisturbed) = (tempfile::tempdir().unwrap(), world());
    let mut whole = core(folder.path(), &undisturbed.options.clone());
    undisturbed.run(&mut whole).unwrap();
    let wanted = digest(&whole, ROUNDS);

    let here = tempfile::tempdir().unwrap();
    let mut first = core(here.path(), &world().options.clone());
    first.fuse = Some(STEPS);
    assert!(matches!(world().run(&mut first), Err(CoordinatorError::Cut)));
    drop(first);
    if let Some(path) = std::env::var_os("SPRIG_WRITE_LEDGER") {
        std::fs::copy(here.path().join("ledger.redb"), path).unwrap();
    }
    for folder in [left_by(1), here] {
        let mut world = world();
        let mut core = core(folder.path(), &world.options.clone());
        let saved = core.ledger.load(core.closer.digest()).unwrap();
        assert_eq!((saved.state.round, saved.accepted.len()), (RoundId(3), 2));
        world.run(&mut core).unwrap();
        assert_eq!(digest(&core, ROUNDS), wanted);
        // What devices of the first program trained is in it: two updates of the fourth round were not asked for again.
        assert_eq!(world.receipts.len(), (ROUNDS as usize - 3) * DEVICES - 2);
    }
}

/// A ledger that is only looked at is brought up too, once.
#[test]
fn a_ledger_is_brought_up_once() {
    let folder = left_by(1);
    let history = Ledger::existing(folder.path()).unwrap().history(RoundId::FIRST).unwrap();
    assert_eq!(history.len(), 3);
    drop(Ledger::open(folder.path(), RUN, &world().options.settings).unwrap());
    let again = Ledger::existing(folder.path()).unwrap();
    assert_eq!((again.run(), again.history(RoundId::FIRST).unwrap()), (RUN, history));
}

#[test]
fn a_ledger_of_a_later_program_is_refused_with_its_name() {
    let folder = left_by(1);
    let path = folder.path().join("ledger.redb");
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let database = redb::Database::open(path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(meta).unwrap().insert("format", 99u32.to_le_bytes().as_slice()).unwrap();
    txn.open_table(meta).unwrap().insert("program", b"7.1.0".as_slice()).unwrap();
    txn.commit().unwrap();
    drop(database);
    let open = || Ledger::open(folder.path(), RUN, &world().options.settings).map(drop);
    let looked = || Ledger::existing(folder.path()).map(drop);
    for error in [open().unwrap_err(), looked().unwrap_err()] {
        assert!(matches!(error, LedgerError::Format { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("format 99") && error.contains("sprig 7.1.0"), "{error}");
    }
}

/// Devices of an older version than the least are not selected, and hear once why; what calls itself nothing known is older.
#[test]
fn older_agents_are_not_selected_and_are_told_once() {
    let mut options = options(3, 1);
    options.min_devices = 1;
    options.least_agent = Some(Version::try_from("0.10.0".to_owned()).unwrap());
    let (disk, world) = (Disk::default(), World::new(options, 3));
    let mut core = world::core(&disk, &world.options);
    let coming = |session| {
        let software = ["sprig 0.9.3", "sprig 0.10.0", "homemade"];
        let presence = move |(event, software): (Event, &str)| match event {
            Event::Presence { device, mut presence } => {
                (presence.session, presence.software) = (session, software.to_owned());
                Event::Presence { device, presence }
            }
            other => other,
        };
        world.presences().into_iter().zip(software).map(presence).collect::<Vec<_>>()
    };
    let (mut receipts, mut notices, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    let mut events = vec![Event::Connected];
    events.extend(coming(1));
    for now in 0..20 {
        core.take(std::mem::take(&mut events), now * 1000, &mut |_, outward| {
            match outward {
                Outward::Publish { topic, payload, .. } => match world.topics.parse(&topic) {
                    Some(Topic::Receipt(device)) => {
                        receipts.push((device, Receipt::decode(&payload).unwrap()))
                    }
                    Some(Topic::Task(device)) => tasks.push(device),
                    _ => {}
                },
                Outward::Tell(notice @ Notice::Outdated { .. }) => notices.push(notice.to_string()),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        // They say again and again that they are here.
        events = coming(1);
        events.push(Event::Tick);
    }
    tasks.dedup();
    assert_eq!(tasks, [world.devices[1].clone()]);
    let told: Vec<_> = receipts.iter().map(|(device, _)| device.clone()).collect();
    assert_eq!(told, [world.devices[0].clone(), world.devices[2].clone()]);
    for (_, receipt) in receipts {
        assert_eq!((receipt.round, receipt.verdict), (u32::MAX, Verdict::Refused(Reason::Version)));
        assert!(receipt.text.contains("0.10.0") && receipt.text.contains("upgrade"), "{}", receipt.text);
    }
    assert!(notices.len() == 2 && notices[0].contains("least_agent"), "{notices:?}");
    let states: Vec<_> = core.machine.view(20_000).devices.into_iter().map(|device| device.state).collect();
    assert_eq!(states, ["outdated", "training", "outdated"]);
}
