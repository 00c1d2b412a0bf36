//! Blobs: what does not fit one message, in chunks of [`CHUNK`] bytes. Each chunk carries its own check sum, so that a
//! damaged one is asked for again, and the whole is checked against its SHA-256 digest.

use crate::messages::Digest;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of data in a chunk; the last one of a blob is shorter.
pub const CHUNK: usize = 16 << 10;
/// Bytes of a chunk on the wire, at most: data and xxh3-64 of it, little-endian.
pub const MAX_CHUNK: usize = CHUNK + 8;

/// What is wrong with a blob that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Announced larger than we take.
    #[error("a blob of {bytes} bytes; at most {limit} are taken")]
    TooLarge {
        /// Its size.
        bytes: u32,
        /// The limit.
        limit: u32,
    },
    /// A chunk that is none of this blob, or was damaged on its way.
    #[error("chunk {chunk} of a blob of {chunks} is damaged or none of it")]
    Chunk {
        /// Which.
        chunk: u32,
        /// How many there are.
        chunks: u32,
    },
    /// All chunks are there and make another blob.
    #[error("the blob is {found}, not {wanted}")]
    Digest {
        /// What arrived.
        found: Digest,
        /// What was announced.
        wanted: Digest,
    },
}

/// How many chunks `bytes` bytes take.
pub fn chunk_count(bytes: u32) -> u32 {
    bytes.div_ceil(CHUNK as u32)
}

/// The chunks of a blob, as they go on the wire.
pub fn chunks(blob: &[u8]) -> impl ExactSizeIterator<Item = Vec<u8>> + '_ {
    blob.chunks(CHUNK).map(seal)
}

/// A chunk's bytes on the wire: `data`, at most [`CHUNK`] bytes, and its check sum.
pub fn seal(data: &[u8]) -> Vec<u8> {
    [data, &xxh3_64(data).to_le_bytes()].concat()
}

/// The data of chunk `chunk` of a blob of `bytes` bytes.
///
/// # Errors
/// [`BlobError::Chunk`] unless its number, length and check sum are right.
pub fn unseal(frame: &[u8], chunk: u32, bytes: u32) -> Result<&[u8], BlobError> {
    let wrong = BlobError::Chunk { chunk, chunks: chunk_count(bytes) };
    let (data, sum) = frame.split_last_chunk().ok_or(wrong)?;
    let start = u64::from(chunk) * CHUNK as u64;
    let length = u64::from(bytes).saturating_sub(start).min(CHUNK as u64);
    let right = length > 0 && data.len() as u64 == length && xxh3_64(data) == u64::from_le_bytes(*sum);
    right.then_some(data).ok_or(wrong)
}

/// A blob that is arriving: in any order, chunks twice or not at all. Takes the blob's bytes and one more a chunk.
#[derive(Debug)]
pub struct Assembler {
    digest: Digest,
    data: Vec<u8>,
    have: Vec<bool>,
    missing: u32,
}

impl Assembler {
    /// Room for the blob `digest` of `bytes` bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] past `limit` bytes.
    pub fn new(digest: Digest, bytes: u32, limit: u32) -> Result<Self, BlobError> {
        if bytes > limit {
            return Err(BlobError::TooLarge { bytes, limit });
        }
        let chunks = chunk_count(bytes);
        let (data, have) = (vec![0; bytes as usize], vec![false; chunks as usize]);
        Ok(Self { digest, data, have, missing: chunks })
    }

    /// Takes chunk `chunk` as it came over the wire.
    ///
    /// # Errors
    /// [`BlobError::Chunk`]; the blob stays as it was.
    pub fn take(&mut self, chunk: u32, frame: &[u8]) -> Result<(), BlobError> {
        let data = unseal(frame, chunk, self.data.len() as u32)?;
        let (at, n) = (chunk as usize * CHUNK, chunk as usize);
        if !std::mem::replace(&mut self.have[n], true) {
            self.data[at..at + data.len()].copy_from_slice(data);
            self.missing -= 1;
        }
        Ok(())
    }

    /// Whether every chunk is there.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The first chunk that is not; the number of chunks if all are.
    pub fn first_missing(&self) -> u32 {
        self.have.iter().position(|have| !have).unwrap_or(self.have.len()) as u32
    }

    /// The blob.
    ///
    /// # Errors
    /// [`BlobError::Digest`] if what arrived is not what was announced, or not all of it did.
    pub fn finish(self) -> Result<Vec<u8>, BlobError> {
        let found = Digest::of(&self.data);
        match found == self.digest && self.missing == 0 {
            true => Ok(self.data),
            false => Err(BlobError::Digest { found, wanted: self.digest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    fn assembler(blob: &[u8]) -> Assembler {
        Assembler::new(Digest::of(blob), blob.len() as u32, 1 << 20).unwrap()
    }

    #[test]
    fn chunks_make_the_blob_in_any_order_and_more_than_once() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let blob = blob(len);
            let mut parts = assembler(&blob);
            let frames: Vec<_> = chunks(&blob).collect();
            assert_eq!(frames.len() as u32, chunk_count(len as u32));
            assert!(frames.iter().all(|frame| frame.len() <= MAX_CHUNK));
            for (n, frame) in frames.iter().enumerate().rev().chain(frames.iter().enumerate()) {
                assert_eq!(parts.is_complete(), parts.first_missing() as usize == frames.len());
                parts.take(n as u32, frame).unwrap();
            }
            assert_eq!(parts.finish().unwrap(), blob);
        }
    }

    #[test]
    fn what_is_damaged_foreign_or_too_large_is_refused() {
        let blob = blob(2 * CHUNK + 100);
        let frames: Vec<_> = chunks(&blob).collect();
        let mut parts = assembler(&blob);
        for at in [0, 1000, CHUNK, CHUNK + 7] {
            let mut frame = frames[1].clone();
            frame[at] ^= 4;
            assert!(parts.take(1, &frame).is_err(), "bit {at}");
        }
        for (n, frame) in [(3, &frames[2]), (u32::MAX, &frames[0]), (0, &frames[2]), (2, &frames[0])] {
            assert!(parts.take(n, frame).is_err(), "chunk {n}");
        }
        assert!(parts.take(0, &[]).is_err());
        parts.take(0, &frames[0]).unwrap();
        assert_eq!((parts.first_missing(), parts.is_complete()), (1, false));
        assert!(parts.finish().is_err(), "not all is there");
        // Right chunks of a blob with another digest.
        let mut parts = Assembler::new(Digest([1; 32]), blob.len() as u32, 1 << 20).unwrap();
        frames.iter().enumerate().for_each(|(n, frame)| parts.take(n as u32, frame).unwrap());
        assert!(matches!(parts.finish(), Err(BlobError::Digest { .. })));
        let limit = BlobError::TooLarge { bytes: 101, limit: 100 };
        assert_eq!(Assembler::new(Digest([0; 32]), 101, 100).unwrap_err(), limit);
    }
}
