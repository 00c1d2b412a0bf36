//! A data set that needs no download: fault reports of a building, each for one of six desks that go by
//! colours. A model cannot know this building's colours; it has to learn them here.
//!
//! Reports are put together from a fault, a place, and a frame with an aside that often names another desk's
//! business. Held-out reports use frames and asides, and now and then a fault, that training never sees.

use super::Record;
use sprig_ground::random::SplitMix64;
use std::collections::BTreeSet;

struct Desk {
    colour: &'static str,
    /// Seen in both sets.
    faults: [&'static str; 12],
    /// Seen in the held-out set only.
    new_faults: [&'static str; 4],
}

const DESKS: [Desk; 6] = [
    // Heating and air.
    Desk {
        colour: "red",
        faults: [
            "the radiator stays cold",
            "the heating has gone off again",
            "it is far too hot and the thermostat does nothing",
            "the air conditioning blows warm air",
            "the boiler shows a pressure warning",
            "the radiator valve is stuck",
            "the heating knocks all night",
            "the fan heater smells of dust",
            "the room will not get above 15 degrees",
            "the ventilation is silent and the air is stale",
            "cold air comes out of the vents",
            "the thermostat shows an error",
        ],
        new_faults: [
            "we are freezing in our coats",
            "the air is so stuffy that people feel sick",
            "the convector does not warm up",
            "the temperature cannot be turned down",
        ],
    },
    // Water and drains.
    Desk {
        colour: "blue",
        faults: [
            "the tap drips",
            "the sink is blocked",
            "water runs down the wall",
            "the toilet does not flush",
            "the drain smells",
            "there is no hot water",
            "the pipe under the basin leaks",
            "the shower floor is flooded",
            "the water is brown",
            "the cistern keeps running",
            "the drain gurgles and backs up",
            "there is a puddle under the washbasin",
        ],
        new_faults: [
            "the ceiling is wet and something is dripping",
            "the urinal overflows",
            "the hose tap cannot be closed",
            "the plumbing makes a hammering noise",
        ],
    },
    // Lights and sockets.
    Desk {
        colour: "green",
        faults: [
            "the light flickers",
            "two lamps are out",
            "the socket sparks",
            "the fuse blows whenever the kettle is on",
            "half the sockets have no power",
            "the light switch is loose",
            "the emergency light blinks",
            "the lamp hums",
            "the breaker trips every morning",
            "the cable of the lamp is bare",
            "the lights stay on all night",
            "there is no power at the desk",
        ],
        new_faults: [
            "everything went dark",
            "the bulb has burst",
            "the plug got hot and smells burnt",
            "the motion sensor no longer turns anything on",
        ],
    },
    // Doors and keys.
    Desk {
        colour: "white",
        faults: [
            "the door does not close",
            "the key is stuck in the lock",
            "the badge reader stays dark",
            "the lock turns but the door stays shut",
            "my key card is refused",
            "the door handle came off",
            "the window does not lock",
            "the gate stands open at night",
            "a key is missing from the cabinet",
            "the door slams shut by itself",
            "the badge opens nothing since today",
            "the lock is jammed",
        ],
        new_faults: [
            "someone is locked in",
            "the hinge is broken",
            "nobody with a visitor pass can get in",
            "the latch does not catch",
        ],
    },
    // Network and screens.
    Desk {
        colour: "black",
        faults: [
            "the wifi drops every few minutes",
            "the printer is offline",
            "the screen shows no signal",
            "the internet is very slow",
            "the projector cannot be found on the network",
            "the computer does not log in",
            "the phone has no dial tone",
            "the network port is dead",
            "the printer prints blank pages",
            "the video call has no sound",
            "the router reboots by itself",
            "the screen freezes",
        ],
        new_faults: [
            "no page loads in the browser",
            "the scanner sends nothing by mail",
            "the laptop sees no wireless network",
            "the monitor is black but the computer runs",
        ],
    },
    // Waste and cleaning.
    Desk {
        colour: "gold",
        faults: [
            "the bins are overflowing",
            "the floor is sticky",
            "there is broken glass on the floor",
            "the carpet has a coffee stain",
            "the paper towels have run out",
            "the rubbish was not collected",
            "the windows are filthy",
            "there are ants around the bin",
            "the soap dispenser is empty",
            "someone was sick on the carpet",
            "the recycling bin is full",
            "there is dust on every shelf",
        ],
        new_faults: [
            "there are mouse droppings in the cupboard",
            "nobody has mopped for weeks",
            "the toilet paper is used up",
            "bags of litter block the way",
        ],
    },
];

/// A kind of building and its places: the domain of a report.
const BUILDINGS: [(&str, [&str; 6]); 4] = [
    ("school", ["classroom 4", "the gym", "the staff room", "the music room", "the library", "the canteen"]),
    ("hotel", ["room 212", "the lobby", "the breakfast room", "the spa", "suite 5", "the bar"]),
    ("clinic", ["ward 3", "the waiting room", "the X-ray room", "bay 7", "the pharmacy", "the night office"]),
    (
        "office",
        ["meeting room B", "the kitchen", "the second floor", "the archive", "reception", "the post room"],
    ),
];

/// `{f}` the fault, `{F}` with a capital, `{p}` the place, `{a}` the aside.
const FRAMES: [&str; 8] = [
    "{F} in {p}. {a}",
    "Hello, {f} in {p}. {a}",
    "{a} But {f} in {p}.",
    "Report for {p}: {f}. {a}",
    "Since Monday {f} in {p}. {a}",
    "Please help, {f}, {p}. {a}",
    "In {p} {f}, and it is getting worse. {a}",
    "{a} Now {f} in {p}, please come soon.",
];
const NEW_FRAMES: [&str; 6] = [
    "Could someone look at {p}? {F}. {a}",
    "A visitor says {f} near {p}. {a}",
    "{a} What is left to do: {f}, {p}.",
    "Urgent! {F}! We are at {p}. {a}",
    "As I walked past {p} I noticed that {f}. {a}",
    "{p}, message left last night: {f}. {a}",
];

/// Things that are no fault, most of them another desk's business.
const ASIDES: [&str; 12] = [
    "The lights are fine again, thank you.",
    "The plumber has been here already.",
    "The new printer works well.",
    "The locks were changed last week.",
    "Heating is fine now.",
    "The cleaners were very quick.",
    "I called twice.",
    "The internet was repaired yesterday.",
    "The door is open for you.",
    "Thanks in advance.",
    "The bins were emptied this morning.",
    "No water damage so far.",
];
const NEW_ASIDES: [&str; 8] = [
    "Ask at the door for the key.",
    "You may turn off the power if you must.",
    "The radiator repair went well, by the way.",
    "My phone is in the logbook.",
    "Bring a screen wipe if you have one.",
    "Mind the wet floor sign.",
    "This has nothing to do with the wifi.",
    "Best wishes from all of us.",
];

/// One held-out report in so many is about a fault that training never shows.
const NEW_FAULT_IN: usize = 8;

const TRAIN: usize = 1600;
const HELD_OUT: usize = 600;

/// Training and held-out reports.
pub fn records(seed: u64) -> (Vec<Record>, Vec<Record>) {
    let mut random = SplitMix64::new(seed);
    let train = reports(TRAIN, &FRAMES, &ASIDES, false, &mut random);
    let held_out = reports(HELD_OUT, &NEW_FRAMES, &NEW_ASIDES, true, &mut random);
    (train, held_out)
}

/// `count` different reports, rounded down to a multiple of the number of desks.
fn reports(
    count: usize,
    frames: &[&str],
    asides: &[&str],
    new: bool,
    random: &mut SplitMix64,
) -> Vec<Record> {
    let mut records = Vec::new();
    for desk in &DESKS {
        let mut seen = BTreeSet::new();
        while seen.len() < count / DESKS.len() {
            let fresh = new && random.below(NEW_FAULT_IN) == 0;
            let fault = if fresh { random.choose(&desk.new_faults) } else { random.choose(&desk.faults) };
            let (domain, places) = random.choose(&BUILDINGS);
            let place = random.choose(&places);
            let report = random
                .choose(frames)
                .replace("{f}", fault)
                .replace("{F}", &capital(fault))
                .replace("{p}", place)
                .replace("{a}", random.choose(asides));
            let text = capital(report.trim());
            if seen.insert(text.clone()) {
                records.push(Record { text, label: desk.colour, domain });
            }
        }
    }
    random.shuffle(&mut records);
    records
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_desk_has_its_share_and_no_report_repeats() {
        let (train, held_out) = records(1);
        for (records, share) in [(&train, TRAIN / 6), (&held_out, HELD_OUT / 6)] {
            for desk in &DESKS {
                assert_eq!(records.iter().filter(|record| record.label == desk.colour).count(), share);
            }
            let texts: BTreeSet<_> = records.iter().map(|record| &record.text).collect();
            assert_eq!(texts.len(), records.len());
            assert!(records.iter().all(|record| !record.text.contains(['{', '}'])));
        }
    }

    #[test]
    fn training_never_shows_what_is_held_out() {
        let (train, held_out) = records(1);
        let count = |records: &[Record], phrase: &str| {
            let phrase = phrase.to_lowercase();
            records.iter().filter(|record| record.text.to_lowercase().contains(&phrase)).count()
        };
        for phrase in DESKS.iter().flat_map(|desk| desk.new_faults).chain(NEW_ASIDES) {
            assert_eq!(count(&train, phrase), 0, "{phrase}");
        }
        for desk in &DESKS {
            let new: usize = desk.new_faults.iter().map(|fault| count(&held_out, fault)).sum();
            assert!((3..=30).contains(&new), "{}: {new}", desk.colour);
        }
    }
}
