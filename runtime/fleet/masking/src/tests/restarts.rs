//! A device that lost power goes on with the same secrets and the same messages.

use crate::testing::{Fleet, Lost};
use crate::{Blame, MaskingError, Member};
use sha2::{Digest as _, Sha256};

/// A member as it comes back from its bytes.
fn restarted(member: &Member) -> Member {
    Member::from_bytes(&member.to_bytes()).unwrap()
}

fn restart_all(fleet: &mut Fleet) {
    fleet.members.values_mut().for_each(|member| *member = restarted(member));
}

/// Bytes with a check sum that fits them.
fn checked(body: &[u8]) -> Vec<u8> {
    [body, &Sha256::digest(body)].concat()
}

#[test]
fn a_restart_at_every_stage_changes_no_message() {
    let mut fleet = Fleet::new(7, 20, 3);
    let mut other = Fleet::new(7, 20, 3);
    for fleet in [&mut fleet, &mut other] {
        fleet.lost = [(fleet.numbers()[1], Lost::AfterPackages)].into();
    }
    other.total().unwrap();
    restart_all(&mut fleet);
    fleet.keys().unwrap();
    restart_all(&mut fleet);
    fleet.packages().unwrap();
    restart_all(&mut fleet);
    fleet.veiled().unwrap();
    restart_all(&mut fleet);
    fleet.answers().unwrap();
    restart_all(&mut fleet);
    assert_eq!(fleet.keys, other.keys);
    assert_eq!(fleet.packages, other.packages);
    assert_eq!(fleet.veiled, other.veiled);
    assert!(fleet.answers == other.answers);
    assert_eq!(fleet.collector.total(), Ok(fleet.plain()));
}

#[test]
fn a_root_gives_the_same_messages_in_every_release() {
    // A device may be updated in the middle of a round. What changes these bytes has to change the version.
    let mut fleet = Fleet::new(4, 5, 1);
    fleet.lost = [(fleet.numbers()[1], Lost::AfterPackages)].into();
    fleet.total().unwrap();
    let mut hash = Sha256::new();
    fleet.keys.iter().for_each(|it| hash.update(it.to_bytes()));
    fleet.packages.iter().for_each(|it| hash.update(it.to_bytes()));
    fleet.veiled.iter().for_each(|it| hash.update(it.to_bytes()));
    fleet.answers.iter().for_each(|it| hash.update(it.to_bytes()));
    fleet.members.values().for_each(|it| hash.update(it.to_bytes()));
    let wanted = "191fb385bfc69dbf04fa7f39376dc4197e8812b9196fd4a1e7f96b1896320b28";
    assert_eq!(sprig_ground::hex::encode(&hash.finalize()), wanted);
}

#[test]
fn a_member_that_comes_back_says_all_of_it_again() {
    let mut fleet = Fleet::new(5, 20, 3);
    fleet.total().unwrap();
    let number = fleet.numbers()[2];
    let mut member = restarted(&fleet.members[&number]);
    assert_eq!(member.keys(), fleet.keys[2]);
    assert_eq!(member.deal(fleet.roster.as_ref().unwrap()).unwrap(), fleet.packages[2]);
    assert_eq!(member.veil(&fleet.delivery(number), &fleet.values[&number]).unwrap(), fleet.veiled[2]);
    assert!(member.answer(fleet.question.as_ref().unwrap()).unwrap() == fleet.answers[2]);
    assert_eq!(member.to_bytes(), fleet.members[&number].to_bytes());
}

#[test]
fn a_member_that_comes_back_remembers_what_it_agreed_to() {
    let mut fleet = Fleet::new(6, 4, 3);
    fleet.total().unwrap();
    let number = fleet.numbers()[2];
    let mut member = restarted(&fleet.members[&number]);
    let mut roster = fleet.roster.clone().unwrap();
    roster.peers.pop();
    let mut delivery = fleet.delivery(number);
    delivery.packages.pop();
    let mut question = fleet.question.clone().unwrap();
    question.lost.push(question.reported.pop().unwrap());
    let (given, values) = (fleet.delivery(number), &fleet.values[&number]);
    let errors = [
        member.deal(&roster).err(),
        member.veil(&delivery, values).err(),
        member.veil(&given, &[1, 2, 3, 4]).err(),
        member.answer(&question).err(),
    ];
    let errors = errors.map(|error| error.unwrap().to_string());
    assert!(errors[0].contains("a second and other list"), "{errors:?}");
    assert!(errors[1].contains("a second and other delivery"), "{errors:?}");
    assert!(errors[2].contains("other values than those veiled before"), "{errors:?}");
    assert!(errors[3].contains("a second and other question"), "{errors:?}");
}

#[test]
fn a_state_that_was_damaged_or_cut_short_is_refused() {
    let mut fleet = Fleet::new(3, 4, 3);
    fleet.total().unwrap();
    let bytes = fleet.members[&fleet.numbers()[0]].to_bytes();
    for end in 0..bytes.len() {
        let error = Member::from_bytes(&bytes[..end]).err().unwrap();
        assert_eq!(error.blame(), Blame::Ourselves);
        assert!(matches!(error, MaskingError::Stored { .. }));
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        assert!(Member::from_bytes(&changed).is_err(), "{at}");
    }
}

#[test]
fn a_state_that_no_member_comes_to_is_refused_though_its_check_sum_fits() {
    let mut fleet = Fleet::new(3, 4, 3);
    fleet.total().unwrap();
    let bytes = fleet.members[&fleet.numbers()[0]].to_bytes();
    let body = &bytes[..bytes.len() - 32];
    assert!(Member::from_bytes(&checked(body)).is_ok());
    // Kind, version, terms, number, root, and the digest of veiled values: then the messages, each after its length.
    let messages = 2 + 36 + 4 + 32 + 32;
    for at in (0..2).chain(18..messages - 32).chain(messages..body.len()) {
        let mut changed = body.to_vec();
        changed[at] ^= 1;
        let error = Member::from_bytes(&checked(&changed)).err();
        assert!(matches!(error, Some(MaskingError::Stored { .. })), "{at}: {error:?}");
    }
    for end in 0..body.len() {
        assert!(Member::from_bytes(&checked(&body[..end])).is_err(), "{end}");
    }
    let version = Member::from_bytes(&checked(&[&[body[0], 2], &body[2..]].concat())).err().unwrap();
    assert!(version.to_string().contains("version 2"), "{version}");
}
