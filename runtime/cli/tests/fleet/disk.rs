//! A full disk under what a device or the coordinator keeps: the process ends with code 5 and names the file, and once there
//! is room it goes on as if nothing had been.

use super::kill::{Undisturbed, undisturbed};
use super::mounts::{Disk, with_own_mounts};
use super::scene::Scene;
use super::world::{Setup, World, device};
use std::time::{Duration, Instant};

/// Size of the disk.
const KIB: u64 = 4 << 10;
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);

/// A fleet one of whose processes keeps its state on a disk that is nearly full.
struct Cramped<'a> {
    /// First, as its mount is in the world's folder.
    disk: Disk,
    world: World,
    who: &'a str,
    /// What it said when it failed.
    message: Option<String>,
}

impl Cramped<'_> {
    /// Waits for an event of the coordinator; makes room when the process has failed, and starts it again.
    fn until(&mut self, event: &str, device: Option<&str>) {
        let until = Instant::now() + LIMIT;
        let mut seen = 0;
        loop {
            let new = &self.world.events[seen..];
            if new.iter().any(|(_, e)| e["event"] == event && device.is_none_or(|d| e["device"] == d)) {
                return;
            }
            seen = self.world.events.len();
            assert!(Instant::now() < until, "no {event} in {LIMIT:?}");
            self.world.next(Duration::from_millis(50));
            if self.message.is_none()
                && let Some((code, message)) = self.world.ended(self.who)
            {
                assert_eq!(code, Some(5), "{message}");
                self.message = Some(message);
                self.disk.free();
                self.world.start(self.who);
            }
        }
    }
}

/// Runs a fleet with `left` KiB for what `who` keeps.
fn run(who: &str, left: u64, reference: &Undisturbed) {
    let world = World::with(Scene::new(), &Setup { on_disk: who.to_owned(), ..Setup::default() });
    let disk = Disk::new(&world.scene, KIB);
    disk.leave(left);
    let mut fleet = Cramped { disk, world, who, message: None };
    fleet.world.start("coordinator");
    for i in 1..=2 {
        fleet.world.start(&device(i));
        fleet.until("joined", Some(&device(i)));
    }
    fleet.until("done", None);
    let message = fleet.message.take().unwrap_or_else(|| panic!("{left} KiB are enough for {who}"));
    for words in ["disk/", "No space left", "free space there"] {
        assert!(message.contains(words), "{words} is not in {message}");
    }
    fleet.world.finish();
    assert_eq!(fleet.world.ledger(), reference.ledger, "{who} with {left} KiB: {message}");
    assert_eq!(fleet.world.adapter(), reference.adapter, "{who} with {left} KiB: {message}");
}

/// From a file that cannot be made to one that stops growing after a round.
#[test]
fn a_full_disk_ends_a_process_with_its_name_and_costs_time_alone() {
    with_own_mounts("disk::a_full_disk_ends_a_process_with_its_name_and_costs_time_alone", || {
        let reference = undisturbed("");
        for left in [0, 16, 64] {
            run("coordinator", left, &reference);
            run(&device(1), left, &reference);
        }
    });
}
