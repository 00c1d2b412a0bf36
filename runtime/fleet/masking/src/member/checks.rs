//! What a member holds a collector to (figure 4; and of section 6.2 what costs nothing).

use super::agreed::{Held, Listed};
use crate::context::Context;
use crate::error::Stage;
use crate::messages::{Delivery, Peer, Question, Roster, Tag};
use crate::{MaskingError, Terms};
use std::collections::BTreeSet;

/// A list of members that may be: enough of them and not too many, no key twice, and one's own as it was sent.
pub(super) fn roster(
    terms: &Terms,
    context: &Context,
    me: &Peer,
    roster: &Roster,
) -> Result<(), MaskingError> {
    let Roster { tag, peers } = roster;
    tagged(*tag, context, "a list")?;
    let (least, most) = (terms.threshold(), terms.members());
    if !(least..=most).contains(&peers.len()) {
        let why = format!("a list of {} members; {least} to {most} were agreed on", peers.len());
        return Err(MaskingError::collector(why));
    }
    ascending(peers.iter().map(|peer| peer.member), "its list")?;
    if !peers.contains(me) {
        return Err(MaskingError::collector("a list without this member's keys as they were sent"));
    }
    let mut keys = BTreeSet::new();
    for peer in peers {
        if !keys.insert(&peer.sealing) || !keys.insert(&peer.veiling) {
            let why = format!("a list with a key of member {} twice", peer.member);
            return Err(MaskingError::collector(why));
        }
    }
    Ok(())
}

/// A delivery that may be, and who dealt pieces: this member among them.
pub(super) fn delivery(
    terms: &Terms,
    me: u32,
    listed: &Listed,
    delivery: &Delivery,
) -> Result<Vec<u32>, MaskingError> {
    if delivery.member != me {
        let why = format!("a delivery for member {}, to member {me}", delivery.member);
        return Err(MaskingError::collector(why));
    }
    let senders = || delivery.packages.iter().map(|package| package.peer);
    ascending(senders(), "a delivery")?;
    let strangers = |member: &u32| *member == me || listed.peer(*member).is_err();
    if let Some(stranger) = senders().find(strangers) {
        return Err(MaskingError::collector(format!("a package from {stranger}, not another of its list")));
    }
    let dealers: BTreeSet<u32> = senders().chain([me]).collect();
    if dealers.len() < terms.threshold() {
        let (have, need) = (dealers.len(), terms.threshold());
        return Err(MaskingError::TooFew { stage: Stage::Packages, have, need });
    }
    let dealers: Vec<u32> = dealers.into_iter().collect();
    tagged(delivery.tag, &listed.context.with_dealers(&dealers), "a delivery")?;
    Ok(dealers)
}

/// A question that may be answered: each dealer once, this member among those that reported, and enough of those.
pub(super) fn question(terms: &Terms, me: u32, held: &Held, question: &Question) -> Result<(), MaskingError> {
    let Question { tag, reported, lost } = question;
    tagged(*tag, &held.context, "a question")?;
    ascending(reported.iter().copied(), "its question")?;
    ascending(lost.iter().copied(), "its question")?;
    // Both lists ascend now.
    if let Some(both) = lost.iter().find(|member| reported.binary_search(member).is_ok()) {
        return Err(MaskingError::collector(format!("a question for both secrets of member {both}")));
    }
    if let Some(stranger) = reported.iter().chain(lost).find(|member| !held.pieces.contains_key(member)) {
        return Err(MaskingError::collector(format!("a question about {stranger}, who dealt no pieces")));
    }
    if reported.len() + lost.len() != held.pieces.len() {
        let why = format!("a question about {} of {}", reported.len() + lost.len(), held.pieces.len());
        return Err(MaskingError::collector(why));
    }
    if reported.binary_search(&me).is_err() {
        return Err(MaskingError::collector("a question by which this member did not report"));
    }
    if reported.len() < terms.threshold() {
        let why = format!("a question about {} that reported, below the threshold", reported.len());
        return Err(MaskingError::collector(why));
    }
    Ok(())
}

fn tagged(tag: Tag, context: &Context, what: &str) -> Result<(), MaskingError> {
    if tag == context.tag() {
        return Ok(());
    }
    Err(MaskingError::collector(format!("{what} for another round, list of members or set of dealers")))
}

fn ascending(numbers: impl Iterator<Item = u32> + Clone, what: &str) -> Result<(), MaskingError> {
    if numbers.clone().zip(numbers.skip(1)).all(|(one, next)| one < next) {
        return Ok(());
    }
    Err(MaskingError::collector(format!("numbers of members in {what} do not ascend")))
}
