//! The page of a coordinator at work.

use crate::http::{event, stream};
use sprig_coordinator::dashboard::{Dashboard, Listen};
use sprig_coordinator::{Coordinator, Options};
use sprig_learn::spry::Layout;
use sprig_protocol::settings::Rounds;
use sprig_simulate as simulate;
use sprig_transport::memory;
use sprig_transport::messages::{Presence, RunId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_coordinator_is_followed_while_it_works() {
    let state = tempfile::tempdir().unwrap();
    let hub = memory::broker();
    let rules = simulate::rules(2);
    let (run, rounds) = (RunId([7; 16]), Rounds::default());
    let mut options = Options::new("kitchen", run, "settings".into(), state.path().into(), &rounds, rules);
    (options.rounds, options.per_round, options.min_devices, options.quorum) = (3, 2, 2, 1);
    let layout = Layout::synthetic(6, 16);
    let link = hub.link("coordinator", None);
    let mut coordinator =
        Coordinator::open(options, layout, vec![0.5; 96], link, None, Box::new(|_| {})).unwrap();
    let dashboard = Dashboard::start(&Listen::at("127.0.0.1:0")).unwrap();
    dashboard.follow(coordinator.handle()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let working = std::thread::spawn(move || coordinator.run(&stopping).unwrap());

    let mut stream = stream(dashboard.address());
    let (kind, view, _) = event(&mut stream);
    assert_eq!((kind.as_str(), view.fleet.as_str(), view.devices_total), ("view", "kitchen", 0));

    // A board comes: the open page hears of it.
    let mut board = hub.link("porch", None);
    let presence = Presence {
        online: true,
        session: 1,
        board: "raspberry-pi-5-8gb".into(),
        software: "sprig 0.1.0".into(),
        budget: 300 << 20,
        rate: 40.0,
        tangents: 4,
        examples: 100,
    };
    use sprig_transport::link::Link;
    board.publish("sprig/1/kitchen/presence/porch", presence.encode(), true).unwrap();
    let porch = loop {
        let (_, patch, _) = event(&mut stream);
        if let [device] = &patch.devices[..] {
            break device.clone();
        }
    };
    assert_eq!((porch.id.as_str(), porch.online, porch.budget_bytes), ("porch", true, 300 << 20));
    stop.store(true, Ordering::Relaxed);
    working.join().unwrap();
}
