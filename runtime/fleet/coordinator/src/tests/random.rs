//! Random orders of events: what must hold whatever happens.

use super::world::{World, core, options};
use crate::countdown::Millis;
use crate::event::Event;
use crate::*;
use proptest::prelude::*;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{Body, Task};
use sprig_transport::topics::Topic;
use std::collections::{BTreeMap, BTreeSet};

/// What may happen next.
#[derive(Clone, Debug)]
enum Deed {
    Come(usize, u64),
    Go(usize, u64),
    /// A device answers the last task it saw, spoilt in a way.
    Answer(usize, Spoil),
    Wait(Millis),
    Connect,
    Disconnect,
    Pause,
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum Spoil {
    No,
    Round,
    Number,
    NotFinite,
    Huge,
    Base,
    Count,
}

fn deed() -> impl Strategy<Value = Deed> {
    let spoil = prop_oneof![
        8 => Just(Spoil::No),
        1 => Just(Spoil::Round),
        1 => Just(Spoil::Number),
        1 => Just(Spoil::NotFinite),
        1 => Just(Spoil::Huge),
        1 => Just(Spoil::Base),
        1 => Just(Spoil::Count),
    ];
    prop_oneof![
        4 => (0..5usize, 1..3u64).prop_map(|(d, s)| Deed::Come(d, s)),
        1 => (0..5usize, 1..3u64).prop_map(|(d, s)| Deed::Go(d, s)),
        12 => (0..5usize, spoil).prop_map(|(d, s)| Deed::Answer(d, s)),
        3 => (0..12_000u64).prop_map(Deed::Wait),
        1 => Just(Deed::Connect),
        1 => Just(Deed::Disconnect),
        1 => Just(Deed::Pause),
        2 => Just(Deed::Resume),
    ]
}

/// The event of a deed; none for the answer to a task that was never given.
fn happen(deed: Deed, world: &mut World, tasks: &BTreeMap<usize, Task>) -> Option<Event> {
    Some(match deed {
        Deed::Come(d, session) => {
            Event::Presence { device: world.devices[d].clone(), presence: simulate::presence(session) }
        }
        Deed::Go(d, session) => {
            let mut presence = simulate::presence(session);
            presence.online = false;
            Event::Presence { device: world.devices[d].clone(), presence }
        }
        Deed::Answer(d, spoil) => {
            let mut update = simulate::answer(tasks.get(&d)?, &world.options.rules);
            match (spoil, &mut update.body) {
                (Spoil::No, _) => {}
                (Spoil::Round, _) => update.round += 1,
                (Spoil::Number, _) => update.number += 1,
                (Spoil::Base, _) => update.base.0[0] ^= 1,
                (Spoil::NotFinite, Body::Scalars(s)) => s[0] = f32::NAN,
                (Spoil::Huge, Body::Scalars(s)) => s[0] = 1e30,
                (Spoil::Count, Body::Scalars(s)) => s.push(0.0),
                _ => unreachable!(),
            }
            Event::Update { device: world.devices[d].clone(), frame: update.encode(), update }
        }
        Deed::Wait(ms) => {
            world.now += ms;
            Event::Tick
        }
        Deed::Connect => Event::Connected,
        Deed::Disconnect => Event::Disconnected { reason: "test".into() },
        Deed::Pause => Event::Pause,
        Deed::Resume => Event::Resume,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_updates_count_once_and_rounds_go_on(deeds in prop::collection::vec(deed(), 1..120)) {
        let rounds = 4;
        let mut options = options(2, rounds);
        options.per_round = 3;
        options.attempts = 2;
        let mut world = World::new(options, 5);
        let disk = Disk::default();
        let mut core = core(&disk, &world.options.clone());
        let mut tasks: BTreeMap<usize, Task> = BTreeMap::new();
        let take = |world: &mut World, core: &mut crate::core::Core, events: Vec<Event>,
                        tasks: &mut BTreeMap<usize, Task>| {
            let now = world.now;
            core.take(events, now, &mut |ledger, outward| {
                if let crate::decision::Outward::Publish { topic, payload, .. } = &outward
                    && let Some(Topic::Task(device)) = world.topics.parse(topic)
                {
                    let at = world.devices.iter().position(|d| *d == device).unwrap();
                    tasks.insert(at, Task::decode(payload).unwrap());
                }
                world.receive(ledger, outward);
                Ok(())
            }).unwrap();
        };
        prop_assert!(core.machine.start(Applied::NONE).then.is_empty());
        for deed in deeds {
            let Some(event) = happen(deed, &mut world, &tasks) else { continue };
            take(&mut world, &mut core, vec![event], &mut tasks);
            prop_assert_eq!(core.holds(), Ok(()));
        }
        // However it stands now: with a broker, devices and time, it ends.
        let mut events = vec![Event::Connected, Event::Resume];
        events.extend(world.presences());
        for _ in 0..200 {
            take(&mut world, &mut core, events, &mut tasks);
            if core.machine.finished() { break; }
            world.now += 1000;
            events = world.send();
        }
        prop_assert!(core.machine.finished(), "{}", core.machine.view(world.now).waiting_for);
        // At most one acceptance for each (round, device), and the history agrees with the receipts.
        let once: BTreeSet<_> = world.receipts.iter().collect();
        prop_assert_eq!(once.len(), world.receipts.len());
        let rows = core.ledger.history(RoundId::FIRST).unwrap();
        prop_assert_eq!(rows.len(), rounds as usize);
        for row in &rows {
            let accepted = world.receipts.iter().filter(|(_, round)| *round == row.round.0).count();
            prop_assert_eq!(row.reported as usize, accepted);
            prop_assert!(row.selected as usize >= accepted);
        }
        // Whatever was refused never reached the adapter.
        prop_assert!(core.closer.snapshot().values.iter().all(|v| v.abs() < 2.0));
        let counted: u32 = core.machine.registry().iter().map(|(_, d)| d.accepted()).sum();
        prop_assert_eq!(counted as usize, world.receipts.len());
    }
}
