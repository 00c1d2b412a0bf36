//! What a member takes from a collector that departs from the protocol, or from a broken peer: nothing.

use crate::context::Context;
use crate::error::Stage;
use crate::messages::{Delivery, Question, Roster};
use crate::testing::{Fleet, Lost, Seeded};
use crate::{Blame, MaskingError, Member, Terms};
use std::io::{self, Read};

/// A round that stands before the packages.
fn listed() -> (Fleet, Roster, u32) {
    let mut fleet = Fleet::new(6, 5, 1);
    fleet.keys().unwrap();
    let roster = fleet.roster.clone().unwrap();
    let me = fleet.numbers()[2];
    (fleet, roster, me)
}

/// A round that stands before values are veiled.
fn dealt() -> (Fleet, Delivery, u32) {
    let (mut fleet, _, me) = listed();
    fleet.packages().unwrap();
    let delivery = fleet.delivery(me);
    (fleet, delivery, me)
}

/// A round that stands before the answers, in which one was lost.
fn asked() -> (Fleet, Question, u32) {
    let (mut fleet, _, me) = dealt();
    fleet.lost = [(fleet.numbers()[4], Lost::AfterPackages)].into();
    fleet.veiled().unwrap();
    let question = fleet.question.clone().unwrap();
    (fleet, question, me)
}

#[track_caller]
fn refused<T>(result: Result<T, MaskingError>, blame: Blame, why: &str) {
    let error = result.err().unwrap_or_else(|| panic!("taken: {why}"));
    assert_eq!(error.blame(), blame, "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_list_that_cannot_be_is_refused() {
    type Change = fn(&mut Roster);
    let changes: [(&str, Change); 8] = [
        ("another round", |roster| roster.tag[0] ^= 1),
        ("a list of 3 members; 4 to 6", |roster| drop(roster.peers.drain(3..))),
        ("a list of 7 members; 4 to 6", |roster| {
            let mut more = roster.peers[5].clone();
            more.member += 1;
            roster.peers.push(more);
        }),
        ("do not ascend", |roster| roster.peers.swap(0, 1)),
        ("do not ascend", |roster| roster.peers[1].member = roster.peers[0].member),
        ("without this member's keys", |roster| roster.peers.retain(|peer| peer.member / 5 != 2)),
        ("without this member's keys", |roster| roster.peers[2].veiling[3] ^= 1),
        ("key of member", |roster| roster.peers[4].sealing = roster.peers[0].veiling),
    ];
    for (why, change) in changes {
        let (mut fleet, mut roster, me) = listed();
        change(&mut roster);
        refused(fleet.member(me).deal(&roster), Blame::Collector, why);
        // And it goes on with the one that can be.
        fleet.packages().unwrap();
    }
}

#[test]
fn a_key_that_gives_one_secret_with_everybody_is_its_members_fault() {
    let (mut fleet, mut roster, me) = listed();
    roster.peers[0].sealing = [0; 32];
    let peer = roster.peers[0].member;
    refused(fleet.member(me).deal(&roster), Blame::Member(peer), "one secret with everybody");
}

#[test]
fn a_second_list_is_refused() {
    let (mut fleet, mut roster, me) = listed();
    let packages = fleet.member(me).deal(&roster).unwrap();
    assert_eq!(fleet.member(me).deal(&roster), Ok(packages));
    roster.peers.pop();
    refused(fleet.member(me).deal(&roster), Blame::Collector, "a second and other list");
}

#[test]
fn a_delivery_that_cannot_be_is_refused() {
    type Change = fn(&mut Delivery);
    let changes: [(&str, Change); 7] = [
        ("set of dealers", |delivery| delivery.tag[7] ^= 1),
        ("set of dealers", |delivery| delivery.packages.truncate(4)),
        ("a delivery for member", |delivery| delivery.member += 1),
        ("do not ascend", |delivery| delivery.packages.swap(0, 1)),
        ("do not ascend", |delivery| delivery.packages[1] = delivery.packages[0].clone()),
        ("not another of its list", |delivery| delivery.packages[4].peer += 1000),
        ("not another of its list", |delivery| {
            delivery.packages[2].peer = delivery.member;
        }),
    ];
    for (why, change) in changes {
        let (mut fleet, mut delivery, me) = dealt();
        change(&mut delivery);
        refused(fleet.member(me).veil(&delivery, &[0; 5]), Blame::Collector, why);
        fleet.veiled().unwrap();
    }
}

#[test]
fn a_delivery_of_too_few_is_refused() {
    let (mut fleet, mut delivery, me) = dealt();
    delivery.packages.truncate(2);
    let error = fleet.member(me).veil(&delivery, &[0; 5]).unwrap_err();
    assert_eq!(error, MaskingError::TooFew { stage: Stage::Packages, have: 3, need: 4 });
}

#[test]
fn a_package_that_was_changed_swapped_or_meant_for_another_is_its_members_fault() {
    for change in 0..3 {
        let (mut fleet, mut delivery, me) = dealt();
        let other = fleet.delivery(fleet.numbers()[5]);
        match change {
            0 => delivery.packages[0].sealed[79] ^= 0x80,
            1 => delivery.packages[0].sealed = delivery.packages[1].sealed,
            // From the same sender, for another.
            _ => delivery.packages[0].sealed = other.packages[0].sealed,
        }
        let peer = delivery.packages[0].peer;
        refused(fleet.member(me).veil(&delivery, &[0; 5]), Blame::Member(peer), "its key did not seal");
        // One's own packages do not open as another's.
        fleet.veiled().unwrap();
    }
}

#[test]
fn packages_made_with_swapped_keys_do_not_open() {
    // A collector shows one member a list in which another's sealing key is its own.
    let (mut fleet, mut roster, _) = listed();
    let [victim, other] = [fleet.numbers()[0], fleet.numbers()[1]];
    roster.peers[1].sealing = Member::draw(fleet.terms, other, &mut Seeded::new(77)).unwrap().keys().sealing;
    let shown = fleet.member(victim).deal(&roster).unwrap();
    // The one with the true list does not know this context; nor does the collector count it.
    refused(fleet.collector.take_packages(shown.clone()), Blame::Member(victim), "list of members");
    fleet.lost = [(victim, Lost::AfterKeys)].into();
    fleet.packages().unwrap();
    let mut delivery = fleet.delivery(other);
    let (at, _) = shown.packages.iter().enumerate().find(|(_, package)| package.peer == other).unwrap();
    let mut package = shown.packages[at].clone();
    package.peer = victim;
    delivery.packages.insert(0, package);
    let listed = Context::of_terms(&fleet.terms).with_peers(&fleet.roster.as_ref().unwrap().peers);
    delivery.tag = listed.with_dealers(&fleet.numbers()).tag();
    refused(fleet.member(other).veil(&delivery, &[0; 5]), Blame::Member(victim), "its key did not seal");
}

#[test]
fn one_set_of_values_is_veiled_once() {
    let (mut fleet, delivery, me) = dealt();
    refused(fleet.member(me).veil(&delivery, &[0; 4]), Blame::Ourselves, "4 values where 5");
    let veiled = fleet.member(me).veil(&delivery, &[1, 2, 3, 4, 5]).unwrap();
    assert_eq!(fleet.member(me).veil(&delivery, &[1, 2, 3, 4, 5]), Ok(veiled));
    let other = fleet.member(me).veil(&delivery, &[1, 2, 3, 4, 6]);
    refused(other, Blame::Ourselves, "other values than those veiled before");
    let fewer = Delivery { packages: delivery.packages[1..].to_vec(), ..delivery };
    refused(fleet.member(me).veil(&fewer, &[1, 2, 3, 4, 5]), Blame::Collector, "a second and other delivery");
}

#[test]
fn a_question_that_cannot_be_is_refused() {
    type Change = fn(&mut Question);
    let changes: [(&str, Change); 10] = [
        ("another round", |question| question.tag[0] ^= 1),
        ("for both secrets", |question| question.reported.insert(4, question.lost[0])),
        ("for both secrets", |question| question.lost = question.reported.clone()),
        ("dealt no pieces", |question| question.lost.push(999)),
        ("dealt no pieces", |question| question.reported.push(999)),
        ("about 5 of 6", |question| question.lost.clear()),
        ("about 5 of 6", |question| question.reported.truncate(4)),
        ("did not report", |question| question.lost.insert(0, question.reported.remove(2))),
        ("do not ascend", |question| question.reported.swap(0, 1)),
        ("below the threshold", |question| {
            let lost: Vec<u32> = question.reported.drain(3..).chain(question.lost.drain(..)).collect();
            question.lost = lost;
            question.lost.sort_unstable();
        }),
    ];
    for (why, change) in changes {
        let (mut fleet, mut question, me) = asked();
        change(&mut question);
        refused(fleet.member(me).answer(&question), Blame::Collector, why);
        fleet.answers().unwrap();
        assert_eq!(fleet.collector.total(), Ok(fleet.plain()));
    }
}

#[test]
fn one_question_is_answered_and_again_when_it_is_the_same() {
    let (mut fleet, question, me) = asked();
    let answer = fleet.member(me).answer(&question).unwrap();
    assert!(fleet.member(me).answer(&question).unwrap() == answer);
    // Another that would have been answered, had it come first.
    let mut other = question.clone();
    let saved = other.lost.pop().unwrap();
    other.reported.push(saved);
    other.reported.sort_unstable();
    refused(fleet.member(me).answer(&other), Blame::Collector, "a second and other question");
    let fresh = fleet.numbers()[0];
    assert!(fleet.member(fresh).answer(&other).is_ok(), "the question was one that can be");
}

#[test]
fn an_answer_has_one_piece_of_each_and_of_the_right_kind() {
    let (mut fleet, question, me) = asked();
    let answer = fleet.member(me).answer(&question).unwrap();
    let mut other = asked().0;
    let mut all = question.clone();
    all.reported.append(&mut all.lost);
    all.reported.sort_unstable();
    let of_own = other.member(me).answer(&all).unwrap();
    assert_eq!(answer.pieces.len(), 6);
    for piece in &answer.pieces {
        let own = of_own.pieces.iter().find(|own| own.of == piece.of).unwrap();
        assert_eq!(own.piece == piece.piece, question.reported.contains(&piece.of), "{}", piece.of);
    }
}

#[test]
fn stages_out_of_order_are_our_own_fault() {
    let (mut fleet, _, me) = dealt();
    let delivery = fleet.delivery(me);
    let question = Question { tag: delivery.tag, reported: vec![], lost: vec![] };
    let fresh = &mut Member::draw(fleet.terms, me, &mut Seeded::new(1)).unwrap();
    refused(fresh.veil(&delivery, &[0; 5]), Blame::Ourselves, "values before a list");
    refused(fresh.answer(&question), Blame::Ourselves, "an answer before values");
    refused(fleet.member(me).answer(&question), Blame::Ourselves, "an answer before values");
}

#[test]
fn without_randomness_there_is_no_member() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("none yet"))
        }
    }
    let terms = Terms::new([0; 16], 1, 3, 1).unwrap();
    refused(Member::draw(terms, 1, &mut Broken), Blame::Ourselves, "none yet");
    refused(Member::draw(terms, 1, &mut io::empty()), Blame::Ourselves, "randomness");
}
