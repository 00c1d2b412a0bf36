//! What the agent remembers over a restart, committed in one transaction with each update.

use sprig_transport::messages::RunId;
use sprig_transport::outbox::{Outbox, OutboxError};

/// The last round trained, and the worker's memory after it. 20 bytes and the memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    /// The run it belongs to.
    pub run: RunId,
    /// The round.
    pub round: u32,
    /// The worker's.
    pub memory: Vec<u8>,
}

impl Note {
    /// As bytes: run, round (little-endian), memory.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.run.0[..], &self.round.to_le_bytes(), &self.memory].concat()
    }

    /// Whether `outbox` has one of `run`: then this device took part in it.
    pub(crate) fn is_of(run: RunId, outbox: &Outbox) -> Result<bool, OutboxError> {
        Ok(outbox.note()?.and_then(|bytes| Self::decode(&bytes)).is_some_and(|note| note.run == run))
    }

    /// From bytes; `None` if they are none of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (run, rest) = bytes.split_first_chunk()?;
        let (round, memory) = rest.split_first_chunk()?;
        Some(Self { run: RunId(*run), round: u32::from_le_bytes(*round), memory: memory.to_vec() })
    }
}

/// An update and the weights that go with it, as the outbox keeps them: length of the message (u32, little-endian),
/// message, weights.
pub(crate) fn pack(message: &[u8], dense: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes()[..], message, dense].concat()
}

/// Message and weights of [`pack`]; `None` if they are none of ours.
pub(crate) fn unpack(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_packages_come_back_and_foreign_bytes_do_not() {
        let note = Note { run: RunId([7; 16]), round: 9, memory: vec![1, 2] };
        assert_eq!(Note::decode(&note.encode()), Some(note));
        assert_eq!(Note::decode(&[0; 19]), None);
        assert_eq!(unpack(&pack(b"ab", b"c")), Some((&b"ab"[..], &b"c"[..])));
        assert_eq!(unpack(&[9, 0, 0, 0, 1]), None);
    }
}
