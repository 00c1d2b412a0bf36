//! What has been agreed on so far, as one digest: of the terms, then of the members' keys, then of who dealt pieces, then
//! of the question. All keys are derived under it and all messages carry its beginning, so nothing of another round,
//! another list or another question passes for one of this.

use crate::Terms;
use crate::messages::{Peer, Tag};
use sha2::{Digest as _, Sha256};

/// A digest of what was agreed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context([u8; 32]);

impl Context {
    pub(crate) fn of_terms(terms: &Terms) -> Self {
        Self([0; 32]).then(b"terms", &terms.to_bytes())
    }

    /// After the members' keys were listed.
    pub(crate) fn with_peers(&self, peers: &[Peer]) -> Self {
        let bytes: Vec<u8> = peers
            .iter()
            .flat_map(|peer| [&peer.member.to_le_bytes()[..], &peer.sealing, &peer.veiling].concat())
            .collect();
        self.then(b"peers", &bytes)
    }

    /// After it was known who dealt pieces.
    pub(crate) fn with_dealers(&self, dealers: &[u32]) -> Self {
        self.then(b"dealers", &of_numbers(dealers))
    }

    /// After the collector has asked.
    pub(crate) fn with_question(&self, reported: &[u32], lost: &[u32]) -> Self {
        self.then(b"reported", &of_numbers(reported)).then(b"lost", &of_numbers(lost))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn tag(&self) -> Tag {
        let mut tag = Tag::default();
        tag.copy_from_slice(&self.0[..8]);
        tag
    }

    /// The digest before it, what follows by name, its length and its bytes.
    fn then(&self, what: &[u8], bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sprig masking 1");
        hash.update(self.0);
        hash.update([what.len() as u8]);
        hash.update(what);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
        Self(hash.finalize().into())
    }
}

fn of_numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_agreed_on_otherwise_is_another_context() {
        let terms = Terms::new([1; 16], 2, 9, 3).unwrap();
        let others = [
            Terms::new([2; 16], 2, 9, 3).unwrap(),
            Terms::new([1; 16], 3, 9, 3).unwrap(),
            Terms::new([1; 16], 2, 8, 3).unwrap(),
            Terms::new([1; 16], 2, 9, 4).unwrap(),
            terms.with_threshold(7).unwrap(),
        ];
        let context = Context::of_terms(&terms);
        assert!(others.iter().all(|other| Context::of_terms(other).tag() != context.tag()));
        let peer = |member| Peer { member, sealing: [1; 32], veiling: [2; 32] };
        let listed = context.with_peers(&[peer(1)]);
        assert!(listed.tag() != context.with_peers(&[peer(2)]).tag());
        assert!(listed.tag() != context.with_peers(&[Peer { veiling: [1; 32], ..peer(1) }]).tag());
        // Nobody reported and two lost is not one of each, nor the other way round.
        let questions = [(&[1, 2][..], &[][..]), (&[1], &[2]), (&[], &[1, 2]), (&[2], &[1])];
        let tags = questions.map(|(reported, lost)| listed.with_question(reported, lost).tag());
        assert!((0..4).all(|i| (0..i).all(|j| tags[i] != tags[j])));
    }
}
