//! Sums over a fleet of which nobody sees one device's: secure aggregation with recovery from loss.
//!
//! The double-masking protocol of Bonawitz and others, *Practical Secure Aggregation for Privacy-Preserving Machine
//! Learning*, CCS 2017, figure 4, against those who follow it. What the paper calls a mask is a *veil* here, and a share a
//! *piece*: both words mean something else in this house. No input or output, no clock, no network: a [`Member`] and a
//! [`Collector`] take and give messages.
//!
//! | stage | a member sends | gets |
//! |---|---|---|
//! | 0 | [`Keys`]: two public keys for this round | [`Roster`]: everybody's |
//! | 1 | [`Packages`]: pieces of two secrets, sealed for each other | [`Delivery`]: those for it |
//! | 2 | [`Veiled`]: its values, its own veil, and one with each other member that cancels in the sum | [`Question`]: who reported, who was lost |
//! | 3 | [`Answer`]: of each that reported a piece of the own veil's seed, of each lost one a piece of its key | |
//!
//! # Against whom
//!
//! **Collector and broker that follow the protocol and keep all they see** learn the total of those that reported and
//! nothing else of any values, also if up to t - 1 members tell them all they know (theorem 6.3; t is the
//! [threshold](Terms::threshold)). With colluding members the total says the sum of the others. Who took part, when, and
//! who was lost is not hidden. Values of a device that was late stay hidden too: that is what its own veil is for.
//!
//! **A collector that departs from it** and makes no members up is refused by each member: one list, one delivery, one
//! question a round, and never both secrets of a device from one member. By asking members differently it needs 2t answers
//! of n members, or of n + c where c collude; with t = ⌈2n/3⌉ it fails for all c < n/3. The check in which members sign
//! what they were asked (section 6.2, round 3) is not done.
//!
//! **A collector that makes members up**, or swaps keys on their way, wins: nobody signs keys here. With t members of its
//! own making it has enough pieces to open all secrets of the others; with keys of its own in place of theirs it reads
//! their packages; alone among made-up members a device's values are the total less what is known. The remedy is one signature
//! over [`Keys`] with the P-256 key of a device's certificate, checked by every member against the fleet's authority: some
//! 70 bytes of signature and 600 of certificate a member in the roster. It helps as far as the authority, which `sprig
//! provision` keeps, is not the collector's: today they are one host.
//!
//! **A member that lies** can spoil the total by its values, as without veils; nothing here holds values to a range.
//! Wrong pieces are told where a secret is opened ([`Unopened`](MaskingError::Unopened)), and the round is lost; so it is
//! where packages do not open, and then those that got them name their dealer. The next round does without it.
//!
//! **A total of few** says much of each: noise for it is another matter (docs/privacy.md).
//!
//! # What the caller has to hold
//!
//! - Each attempt has a round of its own in its [`Terms`]: a member refuses a second list under the same ones.
//! - Terms come from the collector: a device that wants to hide among many holds them to a least number of members.
//! - Keys come from the device they say they come from: by its topic, its certificate, or a signature.
//! - *Commit, then speak*: [`Member::to_bytes`] is stored, synced, before what it made is sent; or nothing is stored at all, and
//!   a member that lost its power is a lost one. What must not be is one that has its keys and forgot what it said.
//!
//! # Costs
//!
//! With n members and m values a member sends 110 + 84n + 8m + 36n bytes and gets 68n + 84n + 4n; it agrees on 2n keys and
//! draws n·m words. A collector passes n² packages on, and for each lost member draws n·m words. `examples/cost.rs`
//! prints them.
//!
//! Secrets are wiped where they end, as far as a program can: what the stack and HKDF's inner state held is not.

mod collector;
mod context;
mod derive;
mod error;
mod member;
mod messages;
mod pieces;
mod sealing;
mod terms;
mod veil;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use collector::{Collector, Total};
pub use error::{Blame, MaskingError, Stage};
pub use member::Member;
pub use messages::{
    Answer, Delivery, Keys, Package, Packages, Peer, Piece, Question, Roster, SEALED, Said, Tag, Told, Veiled,
};
pub use terms::{MAX_MEMBERS, MAX_VALUES, MIN_MEMBERS, Terms};
