//! What a seed decides before anything happens: the fleet and how much goes wrong.

use crate::fate::Deed;
use sprig_coordinator::Options;
use sprig_ground::random::SplitMix64;
use sprig_learn::spry::{Dealing, Robust};
use sprig_protocol::settings::{Downlink, Evaluate, Rounds};
use sprig_simulate as simulate;
use sprig_transport::faults::Faults;
use sprig_transport::messages::RunId;
use std::time::Duration;

/// Name of every world's fleet.
pub(crate) const FLEET: &str = "world";
const BY_TASK: &str = "by task, told every so many seconds: ";

/// A world as it begins.
pub(crate) struct Plan {
    pub(crate) options: Options,
    pub(crate) devices: usize,
    /// Milliseconds that a device's part of a round takes, by device.
    pub(crate) pace: Vec<u64>,
    /// What messages meet while faults last.
    pub(crate) faults: Faults,
    /// How often each deed is done, times an hour.
    pub(crate) hourly: Vec<(Deed, f64)>,
    /// Milliseconds for which faults last.
    pub(crate) trouble: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut SplitMix64) -> Self {
        let devices = 1 + random.below(6);
        let options = options(random, devices);
        // Most finish well within the deadline; a slow one may never.
        let pace = (0..devices).map(|_| 50 + random.choose(&[0, 400, 2_000, 9_000, 30_000])).collect();
        let mut rate = |most: f64| if random.chance(0.5) { 0.0 } else { most * random.fraction() };
        let faults = Faults {
            drop: rate(0.2),
            duplicate: rate(0.2),
            reorder: rate(0.2),
            corrupt: rate(0.1),
            ..Faults::default()
        };
        let hourly = Deed::ALL.iter().map(|deed| (*deed, rate(deed.most_hourly()))).collect();
        let trouble = 60_000 * (1 + random.below(40) as u64);
        Self { options, devices, pace, faults, hourly, trouble }
    }
}

/// What a job says whose devices act on their tasks alone, and tell so often that they are here.
fn by_task(tell: Duration) -> String {
    format!("{BY_TASK}{}", tell.as_secs())
}

/// How often the devices of a job tell that they are here, if they act on their tasks alone.
pub(crate) fn tells(settings: &str) -> Option<Duration> {
    settings.strip_prefix(BY_TASK)?.parse().ok().map(Duration::from_secs)
}

fn options(random: &mut SplitMix64, devices: usize) -> Options {
    let rules = simulate::rules(1 + random.below(3));
    let mut name = [0; 12];
    name[..8].copy_from_slice(&random.draw().to_le_bytes());
    let run = RunId::first(name);
    let mut options = Options::new(FLEET, run, "world".into(), "nowhere".into(), &Rounds::default(), rules);
    let upto = |random: &mut SplitMix64, most: u32| 1 + random.below(most as usize) as u32;
    let most = random.choose(&[12, 60, 200]);
    options.rounds = 1 + upto(random, most);
    options.per_round = upto(random, devices as u32);
    options.min_devices = upto(random, options.per_round);
    options.quorum = upto(random, options.per_round);
    options.deadline = Duration::from_secs(5 + random.below(60) as u64);
    options.spares = random.below(3) as u32;
    options.lease = Duration::from_secs(61 + random.below(120) as u64);
    options.attempts = upto(random, 3) as u8;
    options.dealing =
        random.choose(&[Dealing::Cyclic, Dealing::Contiguous, Dealing::Unsplit, Dealing::DeviceAware]);
    options.sync = random.choose(&[Downlink::Auto, Downlink::Scalars, Downlink::Weights]);
    options.evaluate = if random.chance(0.5) { Evaluate::Never } else { Evaluate::every(upto(random, 3)) };
    options.gate = random.chance(0.7);
    options.robust = random.choose(&[Robust::None, Robust::Clip]);
    options.seed = random.draw();
    options.resend = Duration::from_secs(1 + random.below(10) as u64);
    options.settle = Duration::from_secs(random.below(4) as u64);
    options.keep_records = random.choose(&[0, 2_000, 64 << 20]);
    options.keep_snapshots = random.choose(&[0, 10_000, 64 << 20]);
    if random.chance(0.4) {
        options.by_task = true;
        options.settings = by_task(options.lease / 3);
    }
    options
}
