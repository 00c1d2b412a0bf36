//! What answers had before training, kept on disk beside the adapter: a run that goes on from its checkpoint reads it instead of
//! measuring it anew. It only saves time: a file that is not whole, or of another run, is as good as none.
//!
//! "SPRIGREF", SHA-256 of all that the run depends on, the number of examples (u64); 12 bytes each (R⁺ and R⁻, f32; the place
//! of the wrong answer, u32, all ones for none); SHA-256 of all that. Little-endian.

use super::pair::Reference;
use sha2::{Digest, Sha256};
use sprig_ground::{PathError, file};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"SPRIGREF";

/// Stands for no wrong answer.
const NONE: u32 = u32::MAX;

/// Where references are kept, and of which run.
#[derive(Clone, Debug)]
pub struct KeptReferences {
    path: PathBuf,
    origin: [u8; 32],
}

impl KeptReferences {
    /// At `path`, of the run that depends on what `fingerprint` names: model, data and the words around them, the adapter that it
    /// begins with, and all else.
    pub fn new(path: &Path, fingerprint: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        for text in fingerprint.iter().flat_map(|(key, value)| [key, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Self { path: path.to_owned(), origin: hash.finalize().into() }
    }

    /// Those of `count` examples, if the file has them whole.
    pub fn read(&self, count: usize) -> Option<Vec<Reference>> {
        let file = File::open(&self.path).ok()?;
        // Room is made for as many as are wanted and never for what a file says.
        let size = MAGIC.len() + 32 + 8 + 12 * count + 32;
        if file.metadata().ok()?.len() != size as u64 {
            return None;
        }
        self.parse(BufReader::new(file), count).ok()?
    }

    /// Writes `references`, all of the run's.
    ///
    /// # Errors
    /// What the disk says; nothing but time is lost then.
    pub fn write(&self, references: &[Reference]) -> Result<(), PathError> {
        let failed = PathError::at("write", &self.path);
        file::replace(&self.path, |out| {
            let mut hash = Sha256::new();
            let mut put = |bytes: &[u8]| {
                hash.update(bytes);
                out.write_all(bytes)
            };
            let head = [&MAGIC[..], &self.origin, &(references.len() as u64).to_le_bytes()];
            head.into_iter()
                .try_for_each(&mut put)
                .and_then(|()| references.iter().try_for_each(|reference| put(&bytes(reference))))
                .and_then(|()| out.write_all(&hash.finalize()))
                .map_err(failed)
        })
    }

    fn parse(&self, mut from: impl Read, count: usize) -> io::Result<Option<Vec<Reference>>> {
        let mut head = [0; 48];
        from.read_exact(&mut head)?;
        let mut hash = Sha256::new_with_prefix(head);
        let own = [&MAGIC[..], &self.origin, &(count as u64).to_le_bytes()].concat();
        let mut references = Vec::with_capacity(count);
        for _ in 0..count {
            let mut bytes = [0; 12];
            from.read_exact(&mut bytes)?;
            hash.update(bytes);
            references.push(reference(bytes));
        }
        let mut end = [0; 32];
        from.read_exact(&mut end)?;
        Ok((head[..] == own && end[..] == hash.finalize()[..]).then_some(references))
    }
}

fn bytes(reference: &Reference) -> [u8; 12] {
    let negative = reference.negative.map_or(NONE, u32::from);
    let words = [reference.chosen.to_bits(), reference.rejected.to_bits(), negative].map(u32::to_le_bytes);
    let mut bytes = [0; 12];
    bytes.as_chunks_mut().0.copy_from_slice(&words);
    bytes
}

fn reference(bytes: [u8; 12]) -> Reference {
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let [chosen, rejected] = [0, 4].map(|i| f32::from_bits(word(i)));
    Reference { chosen, rejected, negative: u16::try_from(word(8)).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.references");
        let of =
            |seed: &str| KeptReferences::new(&path, &BTreeMap::from([("seed".to_owned(), seed.to_owned())]));
        let references = [
            Reference { chosen: -1.5, rejected: -0.0, negative: Some(3) },
            Reference { chosen: f32::MIN_POSITIVE, rejected: -9.25, negative: None },
        ];
        assert_eq!(of("1").read(2), None);
        of("1").write(&references).unwrap();
        let back = of("1").read(2).unwrap();
        assert_eq!(
            back.iter().map(bytes).collect::<Vec<_>>(),
            references.iter().map(bytes).collect::<Vec<_>>()
        );
        assert_eq!((of("2").read(2), of("1").read(1), of("1").read(3)), (None, None, None));
        let whole = std::fs::read(&path).unwrap();
        for i in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[i] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(of("1").read(2), None, "byte {i}");
            std::fs::write(&path, &whole[..i]).unwrap();
            assert_eq!(of("1").read(2), None, "cut at {i}");
        }
    }
}
