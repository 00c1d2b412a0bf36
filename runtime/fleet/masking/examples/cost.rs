//! What a round costs: bytes of each message, and seconds of each stage with a hundred members.
//!
//! `cargo run --release -p sprig-masking --example cost`

use sprig_masking::{
    Answer, Collector, Delivery, Keys, MaskingError, Member, Package, Packages, Peer, Piece, Question,
    Roster, SEALED, Terms, Veiled,
};
use std::fs::File;
use std::time::{Duration, Instant};

/// Values of a read-out's sums, about.
const VALUES: u32 = 10_000;
/// Members that are timed, and how many of them are lost before they report.
const TIMED: (u32, u32) = (100, 10);

fn main() -> Result<(), MaskingError> {
    println!("| members | keys | roster | packages | delivery | veiled | question | answer | sent | got |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for members in [10, 100, 1000] {
        bytes(members);
    }
    seconds()
}

/// Bytes of the messages of one of so many members, of which none is lost.
fn bytes(members: u32) {
    let (tag, member, key) = ([0; 8], 0, [0; 32]);
    let others = || (1..members).map(|peer| Package { peer, sealed: [0; SEALED] }).collect();
    let peer = |member| Peer { member, sealing: key, veiling: key };
    let sent = [
        Keys { tag, member, sealing: key, veiling: key, promise: key }.to_bytes().len(),
        Packages { tag, member, packages: others() }.to_bytes().len(),
        Veiled { tag, member, values: vec![0; VALUES as usize] }.to_bytes().len(),
        Answer { tag, member, pieces: (0..members).map(|of| Piece { of, piece: key }).collect() }
            .to_bytes()
            .len(),
    ];
    let got = [
        Roster { tag, peers: (0..members).map(peer).collect() }.to_bytes().len(),
        Delivery { tag, member, packages: others() }.to_bytes().len(),
        Question { tag, reported: (0..members).collect(), lost: vec![] }.to_bytes().len(),
    ];
    let [keys, packages, veiled, answer] = sent;
    let [roster, delivery, question] = got;
    let (sent, got) = (sent.iter().sum::<usize>(), got.iter().sum::<usize>());
    println!(
        "| {members} | {keys} | {roster} | {packages} | {delivery} | {veiled} | {question} | {answer} | {sent} | {got} |"
    );
}

/// Seconds of one member at each stage, and of the collector at the end.
fn seconds() -> Result<(), MaskingError> {
    let (count, lost) = TIMED;
    let terms = Terms::new([1; 16], 1, count, VALUES)?;
    let mut random =
        File::open("/dev/urandom").map_err(|error| MaskingError::Randomness(error.to_string()))?;
    let mut members = (0..count)
        .map(|number| Member::draw(terms, number, &mut random))
        .collect::<Result<Vec<Member>, MaskingError>>()?;
    let mut collector = Collector::new(terms);
    for member in &members {
        collector.take_keys(member.keys())?;
    }
    let roster = collector.roster()?;
    let mut times = [Duration::ZERO; 3];
    for member in &mut members {
        collector.take_packages(timed(&mut times[0], || member.deal(&roster))?)?;
    }
    collector.dealers()?;
    let values: Vec<i64> = (0..i64::from(VALUES)).collect();
    for member in members.iter_mut().skip(lost as usize) {
        let delivery = collector.delivery(member.number())?;
        collector.take_veiled(&timed(&mut times[1], || member.veil(&delivery, &values))?)?;
    }
    let question = collector.question()?;
    for member in members.iter_mut().skip(lost as usize) {
        collector.take_answer(&timed(&mut times[2], || member.answer(&question))?)?;
    }
    let begun = Instant::now();
    let total = collector.total()?;
    let opening = begun.elapsed();
    let reported = count - lost;
    assert!(total.values.iter().zip(&values).all(|(total, value)| *total == value * i64::from(reported)));
    let [deal, veil, answer] = times;
    println!("\n{count} members of {VALUES} values, {lost} lost before they reported; a member's mean:");
    println!(
        "packages {:?}, veiled values {:?}, answer {:?};",
        deal / count,
        veil / reported,
        answer / reported
    );
    println!("the collector's total {opening:?}; a member's state {} bytes", members[99].to_bytes().len());
    Ok(())
}

/// Adds what it took.
fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    *sum += begun.elapsed();
    done
}
