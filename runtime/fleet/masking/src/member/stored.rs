//! A member's state as bytes, so that a device that lost power goes on where it was.
//!
//! Its root and what it agreed to: the rest follows, and is made anew by the same code that made it first, with the same
//! checks. **The bytes hold secrets**: whoever reads them, and what the collector heard, can tell the member's values.

use super::Member;
use super::agreed::Listed;
use crate::derive::Key;
use crate::messages::{Delivery, Question, Reader, Roster, Writer};
use crate::terms::MAX_MEMBERS;
use crate::{MaskingError, Terms};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Kind of these bytes, in the way of messages.
const KIND: u8 = 64;
/// Bytes of the check sum that ends them.
const CHECK: usize = 32;
/// Most bytes of a message within: a delivery from all others.
const MAX_WITHIN: u32 = 128 * MAX_MEMBERS;

impl Member {
    /// Its state, to be stored before anything made of it is sent, and removed when the round is over.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let listed = self.listed.as_ref().map(|listed| listed.roster.to_bytes()).unwrap_or_default();
        let held = self.held.as_ref().map(|held| held.delivery.to_bytes()).unwrap_or_default();
        let asked = self.asked.as_ref().map(Question::to_bytes).unwrap_or_default();
        let veiled = self.held.as_ref().map(|held| held.veiled).unwrap_or_default();
        let within = listed.len() + held.len() + asked.len();
        let mut out = Writer::new(KIND, Terms::BYTES + 4 + 32 + 32 + 3 * 4 + within + CHECK);
        out.bytes(&self.terms.to_bytes()).u32(self.number).bytes(&self.root[..]).bytes(&veiled);
        for message in [listed, held, asked] {
            out.u32(message.len() as u32).bytes(&message);
        }
        let mut out = Zeroizing::new(out.end());
        let check = Sha256::digest(&out[..]);
        out.extend_from_slice(&check);
        out
    }

    /// The member that [`to_bytes`](Self::to_bytes) was of: it sends the same messages.
    ///
    /// # Errors
    /// [`Stored`](MaskingError::Stored): damaged, of another version, or not what a member would have agreed to.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        let body = match bytes.split_last_chunk::<CHECK>() {
            Some((body, check)) if Sha256::digest(body)[..] == check[..] => body,
            _ => return Err(MaskingError::stored(format!("{} bytes, damaged or cut short", bytes.len()))),
        };
        read(body).map_err(|error| match error {
            stored @ MaskingError::Stored { .. } => stored,
            other => MaskingError::stored(other.to_string()),
        })
    }
}

fn read(body: &[u8]) -> Result<Member, MaskingError> {
    let mut from = Reader::new("Member", KIND, body)?;
    let terms = Terms::from_bytes(from.array()?)?;
    let (number, root) = (from.u32()?, Key::new(from.array()?));
    let veiled: [u8; 32] = from.array()?;
    let mut message = || from.list(MAX_WITHIN, 1, Reader::byte);
    let [listed, held, asked] = [message()?, message()?, message()?];
    from.end(())?;
    let mut member = Member::of_root(terms, number, root);
    if !listed.is_empty() {
        member.listed = Some(member.list(&Roster::from_bytes(&listed)?)?);
    }
    if !held.is_empty() {
        let mut held = member.hold(listed_of(&member)?, &Delivery::from_bytes(&held)?)?;
        held.veiled = veiled;
        member.held = Some(held);
    }
    if !asked.is_empty() {
        // Checks it, and remembers it.
        member.answer(&Question::from_bytes(&asked)?)?;
    }
    Ok(member)
}

fn listed_of(member: &Member) -> Result<&Listed, MaskingError> {
    member.listed.as_ref().ok_or_else(|| MaskingError::stored("a delivery without a list"))
}
