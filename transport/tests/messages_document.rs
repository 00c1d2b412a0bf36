//! The test vectors of MESSAGES.md, both ways: the document is what other software is written against.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_transport::blob;
use sprig_transport::messages::{
    BlobKind, Body, Contribution, Digest, FleetTotal, GroupSet, Job, Offer, Phase, Presence, Reason, Receipt,
    Record, Region, Report, Round, RoundResult, RunId, Snapshot, Task, Update, Verdict, Want, join_records,
};
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../MESSAGES.md");

/// The vectors by name: hexadecimal digits of lines in blocks that begin with "```hex NAME"; a line's remark
/// follows `;`.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```hex ") else { continue };
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            let digits: String = line.split(';').next().unwrap().split_whitespace().collect();
            let pairs = digits.as_bytes().chunks(2);
            bytes.extend(
                pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()),
            );
        }
        assert!(found.insert(name, bytes).is_none(), "{name} twice");
    }
    found
}

fn run() -> RunId {
    RunId(std::array::from_fn(|i| i as u8))
}

fn digest(first: u8) -> Digest {
    Digest(std::array::from_fn(|i| first + i as u8))
}

fn contribution() -> Contribution {
    Contribution { number: 3, groups: GroupSet::new(1, 4, 2).unwrap(), examples: 8, scalars: vec![0.5, -2.0] }
}

fn report() -> Report {
    Report {
        run: run(),
        round: 7,
        budget: 268_435_456,
        planned: 200_000_000,
        peak: 190_000_000,
        heap_peak: 90_000_000,
        weights: 98_362_432,
        seconds: 12.5,
        tokens: 512,
        up: 1432,
        down: 9870,
        regions: vec![
            Region { name: "weights".to_owned(), planned: 98_362_432, measured: Some(98_000_000) },
            Region { name: "stack".to_owned(), planned: 65_536, measured: None },
        ],
        celsius: None,
        held_back: None,
    }
}

fn record() -> Record {
    Record {
        run: run(),
        round: 7,
        base: digest(0x20),
        after: digest(0x40),
        contributions: vec![
            contribution(),
            Contribution {
                number: 300,
                groups: GroupSet::new(2, 4, 2).unwrap(),
                examples: 8,
                scalars: vec![],
            },
        ],
    }
}

type Check = (&'static str, Vec<u8>, fn(&[u8]) -> Vec<u8>);

/// Every vector's message as this crate writes it, and what becomes of the bytes read and written again.
fn messages() -> Vec<Check> {
    /// Both ways of one kind of message.
    macro_rules! vector {
        ($name:expr, $kind:ident, $value:expr) => {{
            let value: $kind = $value;
            assert_eq!($kind::decode(&value.encode()).unwrap(), value);
            ($name, value.encode(), |bytes| $kind::decode(bytes).unwrap().encode())
        }};
    }
    let round = |phase, result| Round { run: run(), round: 7, phase, base: digest(0x20), result };
    let update = |body| Update {
        run: run(),
        round: 7,
        number: 3,
        groups: GroupSet::new(1, 4, 2).unwrap(),
        base: digest(0x20),
        examples: 8,
        loss: 0.75,
        bins: Vec::new(),
        body,
    };
    let receipt = |verdict, text: &str| Receipt { run: run(), round: 7, verdict, text: text.to_owned() };
    let want = |resume| Want { run: run(), round: u32::MAX, base: digest(0), resume };
    vec![
        vector!(
            "presence",
            Presence,
            Presence {
                online: true,
                session: 0x0123_4567_89ab_cdef,
                board: "Raspberry Pi 5".to_owned(),
                software: "sprig 0.1.0".to_owned(),
                budget: 268_435_456,
                rate: 41.5,
                tangents: 4,
                examples: 1000,
            }
        ),
        vector!("job", Job, Job { run: run(), settings: "[train]\nsteps = 1\n".to_owned(), over: None }),
        vector!(
            "job-over",
            Job,
            Job {
                run: run(),
                settings: "follow = \"selected\"\n".to_owned(),
                over: Some(round(Phase::Finished, None))
            }
        ),
        vector!("round-first", Round, round(Phase::Gathering, None)),
        vector!("round-inline", Round, round(Phase::Collecting, Some(RoundResult::Inline(vec![0xfe; 3])))),
        vector!(
            "round-blob",
            Round,
            round(
                Phase::Paused,
                Some(RoundResult::Blob { digest: digest(0x60), bytes: 245_760, kind: BlobKind::Snapshot })
            )
        ),
        vector!(
            "task",
            Task,
            Task {
                run: run(),
                round: 7,
                attempt: 1,
                number: 3,
                groups: GroupSet::new(1, 4, 2).unwrap(),
                base: digest(0x20),
                seconds: 600,
                word: Vec::new(),
            }
        ),
        vector!(
            "task-word",
            Task,
            Task {
                run: run(),
                round: 0,
                attempt: 0,
                number: 3,
                groups: GroupSet::new(0, 1, 1).unwrap(),
                base: digest(0x20),
                seconds: 600,
                word: vec![0xfe; 3],
            }
        ),
        vector!("update-scalars", Update, update(Body::Scalars(vec![0.5, -2.0]))),
        vector!(
            "update-bins",
            Update,
            Update {
                bins: vec![[1, 0, 0x4000_0000], [7, 6, 0x4_8000_0000]],
                ..update(Body::Scalars(vec![0.5]))
            }
        ),
        vector!(
            "update-few-bins",
            Update,
            Update { bins: vec![[0; 3], [8, 6, 0x4_8000_0000], [0; 3]], ..update(Body::Scalars(vec![0.5])) }
        ),
        vector!("update-dense", Update, update(Body::Dense { digest: digest(0x60), bytes: 30_720 })),
        vector!("update-word", Update, Update { loss: 0.0, ..update(Body::Word(vec![0xfe; 3])) }),
        vector!("receipt-accepted", Receipt, receipt(Verdict::Accepted, "in the ledger")),
        vector!("receipt-refused", Receipt, receipt(Verdict::Refused(Reason::Norm), "norm 80, limit 20")),
        vector!("report", Report, report()),
        vector!("report-warm", Report, Report { celsius: Some(71.5), held_back: Some(6), ..report() }),
        vector!("record", Record, record()),
        vector!(
            "snapshot",
            Snapshot,
            Snapshot { run: run(), round: 8, after: digest(0x40), values: vec![1.0, -0.5], moments: vec![] }
        ),
        vector!("want-newcomer", Want, want(None)),
        vector!("want-resume", Want, want(Some((digest(0x60), 12)))),
        vector!(
            "offer",
            Offer,
            Offer {
                run: run(),
                kind: BlobKind::Records,
                digest: digest(0x60),
                bytes: 4711,
                from: 3,
                to: 8,
                blob: None
            }
        ),
        vector!(
            "offer-brought",
            Offer,
            Offer {
                run: run(),
                kind: BlobKind::Snapshot,
                digest: digest(0x60),
                bytes: 3,
                from: 0,
                to: 8,
                blob: Some(vec![0xfe; 3])
            }
        ),
        vector!(
            "fleet-total",
            FleetTotal,
            FleetTotal {
                run: run(),
                round: 7,
                base: digest(0x40),
                settings: digest(0x60),
                devices: 3,
                examples: 24,
                numbers: vec![1, -2],
                partners: vec![run()]
            }
        ),
        ("records", join_records(&[[1u8, 2, 3].as_slice(), &[4]]), |bytes| {
            let parts: Vec<_> = sprig_transport::messages::split_records(bytes).map(Result::unwrap).collect();
            join_records(&parts)
        }),
        ("chunk", blob::chunks(&[9; 16_387]).nth(1).unwrap(), |bytes| {
            blob::seal(blob::unseal(bytes, 1, 16_387).unwrap())
        }),
    ]
}

#[test]
fn the_documents_vectors_are_what_is_written_and_read() {
    let mut documented = vectors();
    for (name, written, again) in messages() {
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        let Some(vector) = documented.remove(name) else { panic!("MESSAGES.md lacks `{name}`: {hex}") };
        assert_eq!(vector, written, "{name}: this software writes {hex}");
        assert_eq!(again(&vector), vector, "{name} read and written again");
    }
    assert!(documented.is_empty(), "of no message: {:?}", documented.keys());
}

/// The tables of the document name every limit as it is.
#[test]
fn the_documents_limits_are_those_of_the_code() {
    for (name, limit) in [
        ("Presence", Presence::MAX),
        ("Job", Job::MAX),
        ("Round", Round::MAX),
        ("Task", Task::MAX),
        ("Update", Update::MAX),
        ("Receipt", Receipt::MAX),
        ("Report", Report::MAX),
        ("Record", Record::MAX),
        ("Snapshot", Snapshot::MAX),
        ("Want", Want::MAX),
        ("Offer", Offer::MAX),
        ("FleetTotal", FleetTotal::MAX),
    ] {
        let heading = format!("## {name}");
        let section = DOCUMENT
            .split("\n## ")
            .find(|s| s.starts_with(&heading[3..]) && s[name.len()..].starts_with(' '));
        let section = section.unwrap_or_else(|| panic!("no section {name}"));
        assert!(section.contains(&format!("at most {limit} bytes")), "{name}: at most {limit} bytes");
    }
}

#[test]
#[ignore = "prints what MESSAGES.md is to hold"]
fn print_the_vectors() {
    for (name, written, _) in messages() {
        println!("VECTOR {name} {}", written.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    for (name, limit) in [
        ("Presence", Presence::MAX),
        ("Job", Job::MAX),
        ("Round", Round::MAX),
        ("Task", Task::MAX),
        ("Update", Update::MAX),
        ("Receipt", Receipt::MAX),
        ("Report", Report::MAX),
        ("Record", Record::MAX),
        ("Snapshot", Snapshot::MAX),
        ("Want", Want::MAX),
        ("Offer", Offer::MAX),
        ("FleetTotal", FleetTotal::MAX),
    ] {
        println!("LIMIT {name} {limit}");
    }
}
