//! How a machine fares now: how hot it is, how fast its cores run, and whether something holds it back.

use crate::facts::text;
use serde::Serialize;
use sprig_ground::names;
use std::fs;
use std::path::Path;

/// Sensors, cores and cooling devices looked at at most; what numbers them is the kernel, and it may be anything's.
const MOST: usize = 256;
/// Degrees beyond which a reading is none: sensors that are switched off say so with odd numbers.
const CREDIBLE: std::ops::RangeInclusive<f64> = -50.0..=200.0;
/// The same of a trip point, which is switched off by moving it far away.
const TRIP: std::ops::RangeInclusive<f64> = 40.0..=125.0;
/// Trip points of a zone at most (Linux had a limit of 12, and has none any more).
const TRIPS: u32 = 64;

/// What a machine says of its heat and speed at one moment. What it does not tell is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Condition {
    /// The hottest of its sensors, in °C.
    pub celsius: Option<f64>,
    /// Each of them, in the order of their names.
    pub sensors: Vec<Sensor>,
    /// Clock of the slowest core now, in kHz.
    pub clock_khz: Option<u64>,
    /// The most that core can have, in kHz.
    pub clock_most_khz: Option<u64>,
    /// What holds it back at this moment; none where the board does not tell, empty where nothing does.
    pub held_back: Option<Vec<Hold>>,
    /// What has held it back since it was started, where the board tells.
    pub was_held_back: Option<Vec<Hold>>,
}

/// A thermal zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensor {
    /// Its type, as `cpu-thermal`.
    pub name: String,
    /// Its reading, in °C.
    pub celsius: f64,
}

/// What holds a machine back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hold {
    /// Its supply gives too little.
    UnderVoltage,
    /// Its firmware keeps the clock below what was asked for.
    Capped,
    /// Its firmware has slowed it down for its heat.
    Throttled,
    /// It is near that, and the firmware lowers its voltage and clock.
    SoftLimit,
    /// Its kernel keeps the clock low to cool it.
    Cooled,
}

names!(
    Hold,
    "hold",
    [
        UnderVoltage = "under-voltage",
        Capped = "clock capped",
        Throttled = "throttled",
        SoftLimit = "soft temperature limit",
        Cooled = "clock lowered to cool",
    ]
);

/// Bits of a Raspberry Pi's `get_throttled`; sixteen places above each stands whether it has been so since the start.
const FIRMWARE: [(u32, Hold); 4] =
    [(0, Hold::UnderVoltage), (1, Hold::Capped), (2, Hold::Throttled), (3, Hold::SoftLimit)];

impl Condition {
    /// Looks at the machine whose files are below `root`, `/` for this one.
    pub fn of(root: &Path) -> Self {
        let sensors = sensors(root);
        let celsius = sensors.iter().map(|sensor| sensor.celsius).reduce(f64::max);
        let clock = slowest_core(root);
        let word = firmware_word(root);
        let told = [word.map(holds), voltage_alarm(root), cooling(root)];
        Self {
            celsius,
            sensors,
            clock_khz: clock.map(|(now, _)| now),
            clock_most_khz: clock.map(|(_, most)| most),
            held_back: told.into_iter().flatten().reduce(union),
            was_held_back: word.map(|word| holds(word >> 16)),
        }
    }

    /// Whether something holds it back; none where the board does not tell.
    pub fn is_held_back(&self) -> Option<bool> {
        self.held_back.as_ref().map(|holds| !holds.is_empty())
    }
}

/// All thermal zones with a credible reading.
fn sensors(root: &Path) -> Vec<Sensor> {
    let zones = entries(root, "sys/class/thermal", "thermal_zone");
    let read = |zone: &String| {
        let millis: f64 = number(root, &format!("{zone}/temp"))? as f64;
        let name = text(root, &format!("{zone}/type"))?.trim().to_owned();
        Some(Sensor { name, celsius: millis / 1e3 }).filter(|sensor| CREDIBLE.contains(&sensor.celsius))
    };
    zones.iter().filter_map(read).collect()
}

/// The temperature in °C from which on the kernel slows this machine down: the lowest trip point of that kind (Linux,
/// Documentation/driver-api/thermal/sysfs-api.rst: `passive`).
pub(crate) fn slows_at(root: &Path) -> Option<u32> {
    let zones = entries(root, "sys/class/thermal", "thermal_zone");
    let of_zone = |zone: &String| {
        let trips = (0..TRIPS).map_while(|trip| {
            let kind = text(root, &format!("{zone}/trip_point_{trip}_type"))?;
            Some((kind, number(root, &format!("{zone}/trip_point_{trip}_temp"))))
        });
        let passive = trips.filter(|(kind, _)| kind.trim() == "passive");
        passive.filter_map(|(_, millis)| Some(millis? as f64 / 1e3)).reduce(f64::min)
    };
    let trips = zones.iter().filter_map(of_zone).filter(|celsius| TRIP.contains(celsius));
    trips.reduce(f64::min).map(|celsius| celsius.floor() as u32)
}

/// Clock now and at most of the core that is furthest below its most.
fn slowest_core(root: &Path) -> Option<(u64, u64)> {
    let read = |core: &String| {
        let of = |name| number(root, &format!("{core}/cpufreq/{name}")).and_then(|n| u64::try_from(n).ok());
        Some((of("scaling_cur_freq")?, of("cpuinfo_max_freq").filter(|most| *most > 0)?))
    };
    let cores = entries(root, "sys/devices/system/cpu", "cpu");
    let share = |(now, most): &(u64, u64)| *now as f64 / *most as f64;
    cores.iter().filter_map(read).min_by(|a, b| share(a).total_cmp(&share(b)))
}

/// What a Raspberry Pi's firmware says of itself, as `vcgencmd get_throttled` does.
fn firmware_word(root: &Path) -> Option<u32> {
    let text = text(root, "sys/devices/platform/soc/soc:firmware/get_throttled")?;
    let text = text.trim();
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn holds(word: u32) -> Vec<Hold> {
    FIRMWARE.iter().filter(|(bit, _)| word >> bit & 1 == 1).map(|(_, hold)| *hold).collect()
}

/// The alarm of a Raspberry Pi's supply, of kernels that have a driver for it.
fn voltage_alarm(root: &Path) -> Option<Vec<Hold>> {
    let monitors = entries(root, "sys/class/hwmon", "hwmon");
    let alarms = monitors.iter().filter_map(|monitor| number(root, &format!("{monitor}/in0_lcrit_alarm")));
    let alarm = alarms.reduce(i64::max)?;
    Some(if alarm > 0 { vec![Hold::UnderVoltage] } else { Vec::new() })
}

/// Whether the kernel lowers the clock of a core, on kernels that have such a means of cooling.
fn cooling(root: &Path) -> Option<Vec<Hold>> {
    let means = entries(root, "sys/class/thermal", "cooling_device");
    let of_clock = |device: &&String| {
        text(root, &format!("{device}/type")).is_some_and(|kind| {
            let kind = kind.trim().to_ascii_lowercase();
            kind.contains("cpufreq") || kind == "processor"
        })
    };
    let states = means.iter().filter(of_clock);
    let states = states.filter_map(|device| number(root, &format!("{device}/cur_state")));
    let state = states.reduce(i64::max)?;
    Some(if state > 0 { vec![Hold::Cooled] } else { Vec::new() })
}

fn union(mut one: Vec<Hold>, other: Vec<Hold>) -> Vec<Hold> {
    one.extend(other.into_iter().filter(|hold| !one.contains(hold)).collect::<Vec<_>>());
    one
}

/// Paths below `root` of the entries of `folder` that are called `name` and a number, by that number.
fn entries(root: &Path, folder: &str, name: &str) -> Vec<String> {
    let Ok(found) = fs::read_dir(root.join(folder)) else { return Vec::new() };
    let number = |entry: fs::DirEntry| {
        let entry = entry.file_name().into_string().ok()?;
        entry.strip_prefix(name)?.parse::<u32>().ok()
    };
    let mut numbers: Vec<u32> = found.take(MOST).flatten().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("{folder}/{name}{number}")).collect()
}

fn number(root: &Path, path: &str) -> Option<i64> {
    text(root, path)?.trim().parse().ok()
}
