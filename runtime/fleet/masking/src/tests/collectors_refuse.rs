//! What a collector takes from members that depart from the protocol, or whose messages were damaged: nothing.

use crate::messages::{Answer, Keys, Packages, Veiled};
use crate::testing::{Fleet, Lost, Seeded};
use crate::{Blame, Collector, MaskingError, Member};

#[track_caller]
fn refused<T>(result: Result<T, MaskingError>, member: u32, why: &str) {
    let error = result.err().unwrap_or_else(|| panic!("taken: {why}"));
    assert_eq!(error.blame(), Blame::Member(member), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

/// A round in which one was lost, up to its end.
fn ended(seed: u64) -> Fleet {
    let mut fleet = Fleet::new(6, 5, seed);
    fleet.lost = [(fleet.numbers()[4], Lost::AfterPackages)].into();
    assert_eq!(fleet.total(), Ok(fleet.plain()));
    fleet
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let mut fleet = Fleet::new(6, 5, 1);
    let numbers = fleet.numbers();
    let drawn: Vec<Keys> = numbers.iter().map(|number| fleet.member(*number).keys()).collect();
    let collector = &mut fleet.collector;
    assert_eq!(collector.take_keys(drawn[0].clone()), Ok(true));
    let first = drawn[0].member;
    let other = Keys { promise: [9; 32], ..drawn[0].clone() };
    refused(collector.take_keys(other), first, "a second and other message");
    let [second, third] = [&drawn[1], &drawn[2]];
    let round = Keys { tag: [0; 8], ..second.clone() };
    refused(collector.take_keys(round), second.member, "another round");
    for keys in [
        Keys { sealing: second.veiling, ..second.clone() },
        Keys { sealing: drawn[0].sealing, ..second.clone() },
        Keys { veiling: drawn[0].sealing, ..second.clone() },
    ] {
        refused(collector.take_keys(keys), second.member, "a key that is there already");
    }
    let low = Keys { veiling: [0; 32], ..second.clone() };
    refused(collector.take_keys(low), second.member, "one secret with everybody");
    for keys in &drawn[1..] {
        assert_eq!(collector.take_keys(keys.clone()), Ok(true));
    }
    let more = Member::draw(fleet.terms, 999, &mut Seeded::new(8)).unwrap().keys();
    refused(collector.take_keys(more.clone()), 999, "more members than were agreed on");
    collector.roster().unwrap();
    refused(collector.take_keys(more), 999, "after the list was closed");
    let late = Keys { promise: [9; 32], ..third.clone() };
    refused(collector.take_keys(late), third.member, "a second and other message");
}

#[test]
fn packages_that_cannot_be_are_refused() {
    let mut fleet = Fleet::new(6, 5, 1);
    let late = fleet.numbers()[0];
    fleet.keys().unwrap();
    let packages = fleet.members.get_mut(&late).unwrap().deal(fleet.roster.as_ref().unwrap()).unwrap();
    let with = |change: fn(&mut Packages)| {
        let mut changed = packages.clone();
        change(&mut changed);
        changed
    };
    let collector = &mut fleet.collector;
    refused(collector.take_packages(with(|it| it.tag[1] ^= 1)), late, "another round");
    for change in [
        (|it| it.packages.truncate(4)) as fn(&mut Packages),
        |it| it.packages.swap(0, 1),
        |it| it.packages[0].peer = it.member,
        |it| it.packages.push(it.packages[0].clone()),
    ] {
        refused(collector.take_packages(with(change)), late, "not one for each other member");
    }
    refused(
        collector.take_packages(Packages { member: 999, ..packages.clone() }),
        999,
        "not one for each other",
    );
    fleet.lost = [(late, Lost::AfterKeys)].into();
    fleet.packages().unwrap();
    refused(fleet.collector.take_packages(packages), late, "after those of others were passed on");
    let other = Packages { packages: vec![], ..fleet.packages[0].clone() };
    refused(fleet.collector.take_packages(other.clone()), other.member, "a second and other message");
    let error = fleet.collector.delivery(late).unwrap_err();
    assert_eq!(error.blame(), Blame::Ourselves, "{error}");
}

#[test]
fn veiled_values_that_cannot_be_are_refused() {
    let mut fleet = ended(1);
    let one = fleet.veiled[0].clone();
    let lost = fleet.numbers()[4];
    let late = fleet.veil(lost).unwrap();
    let collector = &mut fleet.collector;
    refused(collector.take_veiled(&late), lost, "after it counted as lost");
    refused(collector.take_veiled(&Veiled { tag: [0; 8], ..one.clone() }), one.member, "another round");
    refused(collector.take_veiled(&Veiled { member: 999, ..one.clone() }), 999, "dealt no pieces");
    let fewer = Veiled { values: one.values[1..].to_vec(), ..one.clone() };
    refused(collector.take_veiled(&fewer), one.member, "4 values where 5");
    let mut other = one.clone();
    other.values[0] ^= 1;
    refused(collector.take_veiled(&other), one.member, "a second and other message");
    assert_eq!(fleet.collector.total(), Ok(fleet.plain()));
}

#[test]
fn messages_of_another_round_are_refused() {
    let (mut one, other) = (ended(1), ended(2));
    for (keys, packages) in other.keys.iter().zip(&other.packages) {
        refused(one.collector.take_keys(keys.clone()), keys.member, "another round");
        refused(one.collector.take_packages(packages.clone()), packages.member, "another round");
    }
    for (veiled, answer) in other.veiled.iter().zip(&other.answers) {
        refused(one.collector.take_veiled(veiled), veiled.member, "another round");
        refused(one.collector.take_answer(answer), answer.member, "another round");
    }
}

#[test]
fn answers_that_cannot_be_are_refused() {
    let mut fleet = ended(1);
    let one = fleet.answers[0].clone();
    let with = |change: fn(&mut Answer)| {
        let mut changed = one.clone();
        change(&mut changed);
        changed
    };
    let collector = &mut fleet.collector;
    refused(collector.take_answer(&with(|it| it.tag[0] ^= 1)), one.member, "or question");
    refused(collector.take_answer(&with(|it| it.member = 999)), 999, "did not report");
    for change in [
        (|it| it.pieces.truncate(5)) as fn(&mut Answer),
        |it| it.pieces.swap(0, 1),
        |it| it.pieces[0].of = 999,
        |it| it.pieces.push(it.pieces[0].clone()),
    ] {
        refused(collector.take_answer(&with(change)), one.member, "not one piece of each");
    }
    refused(
        collector.take_answer(&with(|it| it.pieces[0].piece = [0xff; 32])),
        one.member,
        "no number of the field",
    );
    refused(
        collector.take_answer(&with(|it| it.pieces[0].piece = [1; 32])),
        one.member,
        "a second and other",
    );
}

#[test]
fn a_wrong_piece_spoils_no_total_unseen() {
    // Of the own veil of one that reported, and of the key of one that was lost.
    for at in [0, 5] {
        let mut fleet = Fleet::new(6, 5, 1);
        fleet.lost = [(fleet.numbers()[4], Lost::AfterPackages)].into();
        fleet.keys().unwrap();
        fleet.packages().unwrap();
        fleet.veiled().unwrap();
        let question = fleet.question.clone().unwrap();
        let owner = question.reported.iter().chain(&question.lost).copied().nth(at).unwrap();
        for (turn, number) in question.reported.iter().enumerate() {
            let mut answer = fleet.member(*number).answer(&question).unwrap();
            if turn == 1 {
                answer.pieces[at].piece[0] ^= 1;
            }
            assert_eq!(fleet.collector.take_answer(&answer), Ok(true));
        }
        let error = fleet.collector.total().unwrap_err();
        let givers = question.reported[..4].to_vec();
        assert_eq!(error, MaskingError::Unopened { owner, givers });
    }
}

#[test]
fn stages_out_of_order_are_our_own_fault() {
    let fleet = ended(1);
    let mut fresh = Collector::new(fleet.terms);
    let errors = [
        fresh.take_packages(fleet.packages[0].clone()).unwrap_err(),
        fresh.take_veiled(&fleet.veiled[0]).unwrap_err(),
        fresh.take_answer(&fleet.answers[0]).unwrap_err(),
        fresh.dealers().unwrap_err(),
        fresh.delivery(1).unwrap_err(),
        fresh.question().unwrap_err(),
        fresh.total().unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.blame() == Blame::Ourselves), "{errors:?}");
}
