//! Load: thousands of synthetic devices against a real coordinator, ledger, wire format and broker. The coordinator is a
//! process of its own, so that what it takes is its own.

use super::swarm::{Counts, Kind, Swarm};
use super::synthetic::rules;
use super::trouble::Habits;
use serde::Serialize;
use sprig_coordinator::{Coordinator, CoordinatorError, Notice, Options};
use sprig_ground::kernel::{self, Process};
use sprig_learn::spry::Layout;
use sprig_protocol::settings::Rounds;
use sprig_transport::link::{Event, Link, LinkError};
use sprig_transport::messages::{Digest, Phase, Round, RunId};
use sprig_transport::topics::Topics;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Groups and weights of the synthetic adapter: those of cores of 8 × 8 in 24 layers, the default on SmolLM2.
const GROUPS: (usize, usize) = (24, 64);
/// Time from one look at the coordinator's process to the next.
const LOOK: Duration = Duration::from_millis(20);
/// Time without any message after which a load is given up.
const SILENCE: Duration = Duration::from_secs(120);
/// Connections that begin at once, and the time for their handshakes: more would stand in the broker's queue until they give up.
const AT_ONCE: usize = 64;
const HANDSHAKES: Duration = Duration::from_millis(50);
/// Threads that the devices share where each has a connection of its own.
const HANDS: usize = 4;
/// Time for what a coordinator said before it ended to arrive.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Name of the fleet: one that no other load on this broker has, for brokers keep what they were told to.
    pub fleet: String,
    /// Synthetic devices.
    pub devices: u32,
    /// Rounds.
    pub rounds: u32,
    /// Devices selected for a round.
    pub per_round: u32,
    /// Connections that carry the devices.
    pub connections: u32,
    /// Scalars of an update.
    pub scalars: usize,
    /// Whether each device reports its memory every round.
    pub reports: bool,
    /// How the devices behave.
    pub habits: Habits,
    /// Whether they act on their tasks alone, and fetch the adapter for each.
    pub by_task: bool,
}

/// What a load showed.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    /// The load.
    pub plan: Plan,
    /// Seconds until all devices were known to the coordinator and the first round was open.
    pub seconds_to_join: f64,
    /// Seconds from then until the last round was done.
    pub seconds: f64,
    /// Rounds a second.
    pub rounds_per_second: f64,
    /// Seconds from each round's announcement to the next one's.
    pub seconds_of_rounds: Vec<f64>,
    /// Messages between devices and coordinator a second, both directions.
    pub messages_per_second: f64,
    /// What the devices counted.
    #[serde(skip)]
    pub counts: Counts,
    /// Updates that are in the ledger, by receipt.
    pub accepted: u64,
    /// Adapters that devices fetched for their tasks.
    pub fetched: u64,
    /// Resident memory of the coordinator before any device came, bytes.
    pub rss_idle: u64,
    /// The same at the end of each round.
    pub rss_rounds: Vec<u64>,
    /// The most it was.
    pub rss_peak: u64,
    /// Peak less idle, for each device.
    pub bytes_per_device: f64,
    /// Processor seconds of the coordinator, from its start.
    pub cpu_seconds: f64,
    /// Processor seconds of the coordinator for 1,000 devices in one round.
    pub cpu_seconds_per_1000_devices: f64,
}

/// Why a load cannot be measured.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The coordinator's process.
    #[error("the coordinator (process {pid}) has ended; its own messages say why")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// Nothing moves.
    #[error("nothing was heard for {} s in round {round}; is the coordinator connected to the same broker?", SILENCE.as_secs())]
    Silence {
        /// The last round heard of.
        round: u32,
    },
}

impl Plan {
    /// `devices` devices, all in each of `rounds` rounds, with updates of 32 scalars: 8 examples of 4 tangents.
    pub fn new(fleet: &str, devices: u32, rounds: u32) -> Self {
        Plan {
            fleet: fleet.into(),
            devices,
            rounds,
            per_round: devices,
            connections: 4,
            scalars: 32,
            reports: true,
            habits: Habits::default(),
            by_task: false,
        }
    }

    /// Settings of the coordinator of this load.
    pub fn options(&self, state: &Path) -> Options {
        let settings = format!("synthetic = {}\n", self.scalars);
        // One run a state folder: its path names it well enough.
        let mut run = [0; 16];
        run.copy_from_slice(&Digest::of(state.as_os_str().as_encoded_bytes()).0[..16]);
        let rules = rules(self.scalars);
        let mut options =
            Options::new(&self.fleet, RunId(run), settings, state.to_owned(), &Rounds::default(), rules);
        (options.rounds, options.per_round) = (self.rounds, self.per_round);
        options.quorum = self.per_round.div_ceil(2);
        // Devices that fail are not waited for before a round.
        options.min_devices = self.devices.saturating_sub(self.habits.troubled).max(1);
        options.max_devices = self.devices + 1000;
        options.settle = Duration::from_secs(1);
        options.resend = Duration::from_secs(30);
        options.linger = Duration::from_secs(1);
        options.by_task = self.by_task;
        options
    }
}

/// The coordinator of a load, to its end: the other process.
///
/// # Errors
/// As [`Coordinator::run`].
pub fn coordinate<L: Link>(
    plan: &Plan,
    state: &Path,
    link: L,
    tell: Box<dyn FnMut(&Notice) + Send>,
    stop: &AtomicBool,
) -> Result<bool, CoordinatorError> {
    let layout = Layout::synthetic(GROUPS.0, GROUPS.1);
    let initial = vec![0.0; layout.len()];
    Coordinator::open(plan.options(state), layout, initial, link, None, tell)?.run(stop)
}

/// Runs the devices of a load against the coordinator that is process `pid`. `link` makes a connection of that name.
///
/// # Errors
/// When a connection fails or the coordinator ends or falls silent.
pub fn load<L: Link>(
    plan: &Plan,
    pid: u32,
    mut link: impl FnMut(&str) -> Result<L, LinkError>,
) -> Result<Load, LoadError> {
    let mut watcher = link("load-watcher")?;
    let topics = Topics::new(&plan.fleet).map_err(|e| LinkError::Settings(e.to_string()))?;
    watcher.subscribe(&topics.round())?;
    wait_for_coordinator(&mut watcher, pid)?;
    let rss_idle = process(pid)?.resident;
    let begun = Instant::now();

    let mut swarms = connected(plan, link)?;
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let mut watch = Watch::default();
    let watched = thread::scope(|scope| {
        let share = swarms.len().div_ceil(HANDS).max(1);
        for swarms in swarms.chunks_mut(share) {
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(e) = turns(swarms) {
                        failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(e);
                        return;
                    }
                }
            });
        }
        let watched = watch.until_the_end(plan, pid, &mut watcher, &topics, &failed);
        // Receipts and reports of the last round are still on their way.
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        watched
    });
    watched?;
    let counts = swarms.iter().fold(Counts::default(), |sum, swarm| sum.plus(&swarm.counts));
    let (opened, ended) = (watch.opened.unwrap_or(begun), watch.ended.unwrap_or(begun));
    let (seconds, cpu_seconds) = ((ended - opened).as_secs_f64(), watch.cpu_seconds);
    let exchanged = (counts.sent + counts.received) as f64;
    Ok(Load {
        seconds_to_join: (opened - begun).as_secs_f64(),
        seconds,
        rounds_per_second: f64::from(plan.rounds) / seconds,
        seconds_of_rounds: watch.seconds,
        messages_per_second: exchanged / (ended - begun).as_secs_f64(),
        counts,
        accepted: counts.accepted,
        fetched: counts.fetched,
        rss_idle,
        rss_rounds: watch.rounds,
        rss_peak: watch.peak,
        bytes_per_device: watch.peak.saturating_sub(rss_idle) as f64 / f64::from(plan.devices),
        cpu_seconds,
        cpu_seconds_per_1000_devices: 1000.0 * cpu_seconds
            / f64::from(plan.per_round)
            / f64::from(plan.rounds),
        plan: plan.clone(),
    })
}

/// The devices, on their connections.
fn connected<L: Link>(
    plan: &Plan,
    mut link: impl FnMut(&str) -> Result<L, LinkError>,
) -> Result<Vec<Swarm<L>>, LinkError> {
    let each = plan.devices.div_ceil(plan.connections.max(1)).max(1);
    let mut swarms: Vec<Swarm<L>> = Vec::new();
    for first in (0..plan.devices).step_by(each as usize) {
        if !swarms.is_empty() && swarms.len().is_multiple_of(AT_ONCE) {
            thread::sleep(HANDSHAKES);
        }
        let devices = first..(first + each).min(plan.devices);
        let link = link(&format!("load-{first}"))?;
        let kind = Kind::new(rules(plan.scalars), Duration::from_secs(30));
        let kind = Kind { reports: plan.reports, habits: plan.habits, by_task: plan.by_task, ..kind };
        swarms.push(Swarm::new(link, &plan.fleet, devices, kind)?);
    }
    Ok(swarms)
}

/// A turn of each. One alone waits for its messages; of several none can wait for all.
fn turns<L: Link>(swarms: &mut [Swarm<L>]) -> Result<(), LinkError> {
    if let [one] = swarms {
        return one.turn(LOOK);
    }
    swarms.iter_mut().try_for_each(|swarm| swarm.turn(Duration::ZERO))?;
    thread::sleep(LOOK);
    Ok(())
}

fn wait_for_coordinator<L: Link>(watcher: &mut L, pid: u32) -> Result<(), LoadError> {
    let begun = Instant::now();
    while begun.elapsed() < SILENCE {
        if let Some(Event::Message { .. }) = watcher.next(LOOK)? {
            return Ok(());
        }
        process(pid)?;
    }
    Err(LoadError::Silence { round: 0 })
}

/// What is seen of a run from outside.
#[derive(Default)]
struct Watch {
    rounds: Vec<u64>,
    /// Seconds of each round.
    seconds: Vec<f64>,
    opened: Option<Instant>,
    ended: Option<Instant>,
    peak: u64,
    cpu_seconds: f64,
}

impl Watch {
    fn until_the_end<L: Link>(
        &mut self,
        plan: &Plan,
        pid: u32,
        watcher: &mut L,
        topics: &Topics,
        failed: &Mutex<Option<LinkError>>,
    ) -> Result<(), LoadError> {
        let (mut heard, mut round, mut rss, mut ended) = (Instant::now(), 0, 0, None);
        let mut begun = None;
        loop {
            let event = watcher.next(LOOK)?;
            match process(pid) {
                Ok(process) => {
                    self.peak = self.peak.max(process.peak);
                    self.cpu_seconds = process.cpu_seconds;
                    rss = process.resident;
                }
                // Its last words may still be in the broker's queue, behind those to thousands of devices.
                Err(gone) if ended.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS => {
                    return Err(gone);
                }
                Err(_) => {}
            }
            if let Some(e) = failed.lock().unwrap_or_else(|e| e.into_inner()).take() {
                return Err(e.into());
            }
            if heard.elapsed() > SILENCE {
                return Err(LoadError::Silence { round });
            }
            let Some(Event::Message { topic, payload }) = event else { continue };
            let Some(now) = Round::decode(&payload).ok().filter(|_| topic == topics.round()) else {
                continue;
            };
            heard = Instant::now();
            if now.phase == Phase::Collecting {
                self.opened.get_or_insert(heard);
                begun.get_or_insert(heard);
            }
            if now.round > round {
                let before = begun.replace(heard).unwrap_or(heard);
                self.seconds.resize(now.round as usize, (heard - before).as_secs_f64());
                self.rounds.resize(now.round as usize, rss);
                round = now.round;
            }
            if now.phase == Phase::Finished || round >= plan.rounds {
                self.ended = Some(heard);
                return Ok(());
            }
        }
    }
}

/// The coordinator's process, while it runs.
fn process(pid: u32) -> Result<Process, LoadError> {
    kernel::process(pid).ok_or(LoadError::Gone { pid })
}
