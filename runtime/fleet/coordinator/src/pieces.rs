//! An update whose numbers come in pieces.

use sprig_transport::blob::{chunk_count, unseal};
use sprig_transport::messages::Digest;

/// Which pieces of an update are in the ledger.
#[derive(Debug)]
pub(crate) struct Pieces {
    digest: Digest,
    bytes: u32,
    /// Examples behind it, as it says.
    examples: u32,
    /// The update that announced them.
    frame: Vec<u8>,
    have: Vec<bool>,
    missing: usize,
}

impl Pieces {
    /// None so far of the `bytes` bytes that `digest` names.
    pub(crate) fn new(digest: Digest, bytes: u32, examples: u32, frame: Vec<u8>) -> Self {
        let chunks = chunk_count(bytes) as usize;
        Self { digest, bytes, examples, frame, have: vec![false; chunks], missing: chunks }
    }

    /// Whose they are: SHA-256 of the whole.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Bytes of the whole.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Examples behind the update, as it says.
    pub(crate) fn examples(&self) -> u32 {
        self.examples
    }

    /// Whether all are there.
    pub(crate) fn are_whole(&self) -> bool {
        self.missing == 0
    }

    /// The update that announced them.
    pub(crate) fn into_frame(self) -> Vec<u8> {
        self.frame
    }

    /// Takes piece `n` as it came; its weights, unless it is there already or damaged: then it comes again.
    pub(crate) fn take(&mut self, n: u32, frame: &[u8]) -> Option<Vec<u8>> {
        let data = unseal(frame, n, self.bytes).ok()?;
        let have = self.have.get_mut(n as usize).filter(|have| !**have)?;
        *have = true;
        self.missing -= 1;
        Some(data.to_vec())
    }
}
