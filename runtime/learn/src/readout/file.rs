//! The file of sums: what a read-out needs to learn from more examples without those it has seen.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `SPRGSUMS` |
//! | 4 | version, 1, little-endian as all numbers here |
//! | 4 | length of the header, up to 1 MiB |
//! | | header, JSON: [`Origin`], `inputs`, `width`, `kept`, and `data`, the digests of the sets that were summed up |
//! | 8 each | examples of each class; Σ φ of each class, classes × kept; Σ φφᵀ, the lower triangle by rows |
//! | 8 | n, examples of the sample, up to 128 |
//! | | n times: 8 the class, then 4 each what the down projection multiplies, inputs, and the stream, width |
//! | 32 | SHA-256 of all before |
//!
//! A checkpoint of a pass under way is such a file whose header says `taken`, the examples of the last set that are in it.
//!
//! A file tells much about the examples, of which some are in it as the model sees them: it is as confidential as the data.

use super::features::{Directions, MOST_INPUTS};
use super::sample::{KEPT, Sample};
use super::sums::Sums;
use crate::error::LearnError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sprig_ground::PathError;
use sprig_ground::file::replace;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const MAGIC: [u8; 8] = *b"SPRGSUMS";
const VERSION: u32 = 1;
const MAX_HEADER: u32 = 1 << 20;

/// What sums are of: those of another origin cannot be added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// SHA-256 of the model's file, hexadecimal.
    pub model: String,
    /// How examples were asked: task, template, labels and their words, in a fixed form.
    pub asking: String,
    /// Most tokens of an example.
    pub len: usize,
    /// The token of each class.
    pub tokens: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    origin: Origin,
    inputs: usize,
    width: usize,
    kept: usize,
    data: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<usize>,
}

/// Which examples are in sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Digests of the sets.
    pub sets: Vec<String>,
    /// How many examples of the last one, while its pass is under way.
    pub taken: Option<usize>,
}

/// Sums in a file of which only the header has been read.
pub struct SumsFile {
    path: std::path::PathBuf,
    header: Header,
    reader: Hashing<BufReader<File>>,
}

/// Writes `sums` of the examples `seen`, so that a power cut leaves the old file or the whole new
/// one.
///
/// # Errors
/// What the disk says.
pub fn write(
    path: &Path,
    origin: &Origin,
    seen: &Seen,
    sums: &Sums,
    sample: &Sample,
) -> Result<(), LearnError> {
    let (Directions { inputs, kept }, (_, width)) = (sums.directions, sample.shape());
    let Seen { sets: data, taken } = seen.clone();
    let header = Header { origin: origin.clone(), inputs, width, kept, data, taken };
    let header = serde_json::to_vec(&header).map_err(|e| bad(path, e.to_string()))?;
    replace(path, |out| {
        let failed = PathError::at("write", path);
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            out.write_all(bytes).map_err(&failed)
        };
        put(&MAGIC)?;
        put(&VERSION.to_le_bytes())?;
        put(&(header.len() as u32).to_le_bytes())?;
        put(&header)?;
        sums.counts.iter().try_for_each(|n| put(&n.to_le_bytes()))?;
        sums.classes.iter().chain(&sums.products).try_for_each(|n| put(&n.to_le_bytes()))?;
        put(&(sample.len() as u64).to_le_bytes())?;
        for (i, &answer) in sample.answers().iter().enumerate() {
            put(&(answer as u64).to_le_bytes())?;
            sample.gated(i).iter().chain(sample.stream(i)).try_for_each(|v| put(&v.to_le_bytes()))?;
        }
        let digest = hash.finalize();
        out.write_all(&digest).map_err(&failed).map_err(LearnError::from)
    })
}

impl SumsFile {
    /// Reads the header.
    ///
    /// # Errors
    /// The file cannot be read, or holds no sums.
    pub fn open(path: &Path) -> Result<Self, LearnError> {
        let file = File::open(path).map_err(PathError::at("read", path))?;
        let mut reader = Hashing { reader: BufReader::new(file), hash: Sha256::new() };
        let mut start = [0u8; 16];
        fill(path, &mut reader, &mut start)?;
        let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        if start[..8] != MAGIC {
            return Err(bad(path, "it holds no sums of a read-out; name the .sums file beside an adapter"));
        }
        if number(8) != VERSION {
            return Err(bad(path, format!("format version {}, this program reads {VERSION}", number(8))));
        }
        if number(12) > MAX_HEADER {
            return Err(bad(
                path,
                format!("a header of {} bytes exceeds the limit of {MAX_HEADER}", number(12)),
            ));
        }
        let mut header = vec![0; number(12) as usize];
        fill(path, &mut reader, &mut header)?;
        let header: Header = serde_json::from_slice(&header).map_err(|e| bad(path, e.to_string()))?;
        let (n, m) = (header.inputs, header.kept);
        if !(1..=MOST_INPUTS).contains(&n) || !(1..=n).contains(&m) || header.origin.tokens.len() > 1024 {
            return Err(bad(
                path,
                format!("its shape, {m} of {n} directions, is none that this program writes"),
            ));
        }
        Ok(Self { path: path.to_owned(), header, reader })
    }

    /// How its rows became whole numbers.
    pub fn directions(&self) -> Directions {
        Directions { inputs: self.header.inputs, kept: self.header.kept }
    }

    /// Digests of the sets that were summed up.
    pub fn data(&self) -> &[String] {
        &self.header.data
    }

    /// Whether the file at `path` holds sums, or the checkpoint of some.
    pub fn is_at(path: &Path) -> bool {
        let mut magic = [0; MAGIC.len()];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == MAGIC
    }

    /// Refuses a checkpoint: sums of a pass that is under way.
    ///
    /// # Errors
    /// It is one.
    pub fn check_whole(&self) -> Result<(), LearnError> {
        match self.header.taken {
            None => Ok(()),
            Some(_) => Err(bad(&self.path, "its pass was not finished; finish it with --resume")),
        }
    }

    /// The examples of the last of `sets` that are in this checkpoint.
    ///
    /// # Errors
    /// It is a checkpoint of other sets, or none.
    pub fn taken(&self, sets: &[String]) -> Result<usize, LearnError> {
        let other = "it is of other examples; resume with the same data, or delete it to start anew";
        let same = self.header.data == sets;
        self.header.taken.filter(|_| same).ok_or_else(|| bad(&self.path, other))
    }

    /// Refuses sums of another origin.
    ///
    /// # Errors
    /// What differs, and what to do.
    pub fn check(&self, ours: &Origin) -> Result<(), LearnError> {
        let theirs = &self.header.origin;
        let differs = if theirs.model != ours.model {
            "they are of another model file"
        } else if theirs.tokens != ours.tokens {
            "they are of other answers; name all labels of both with --labels"
        } else if theirs.asking != ours.asking {
            "their examples were asked in other words"
        } else if theirs.len != ours.len {
            "their examples were cut to another --len"
        } else {
            return Ok(());
        };
        Err(bad(&self.path, format!("{differs}; add to sums that were made with the same settings")))
    }

    /// Reads the sums, and into `sample` all whole examples of a checkpoint; of others as many whole examples, evenly among those there are, as that has room for beside
    /// its own.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a model of another shape.
    pub fn load(mut self, sample: &mut Sample) -> Result<Sums, LearnError> {
        let mut sums = Sums::new(self.directions(), self.header.origin.tokens.len());
        let mut word = [0u8; 8];
        for count in &mut sums.counts {
            fill(&self.path, &mut self.reader, &mut word)?;
            *count = u64::from_le_bytes(word);
        }
        for sum in sums.classes.iter_mut().chain(&mut sums.products) {
            fill(&self.path, &mut self.reader, &mut word)?;
            *sum = i64::from_le_bytes(word);
        }
        self.load_sample(sample)?;
        let Hashing { mut reader, hash } = self.reader;
        let mut digest = [0u8; 32];
        fill(&self.path, &mut reader, &mut digest)?;
        let more = reader.read(&mut word).map_err(PathError::at("read", &self.path))?;
        if hash.finalize()[..] != digest || more > 0 {
            return Err(bad(&self.path, "its content does not match its checksum"));
        }
        Ok(sums)
    }
}

impl SumsFile {
    fn load_sample(&mut self, sample: &mut Sample) -> Result<(), LearnError> {
        let Self { path, header, reader } = self;
        if (header.inputs, header.width) != sample.shape() {
            return Err(bad(path, "it is of a model of another shape"));
        }
        let mut word = [0u8; 8];
        fill(path, reader, &mut word)?;
        let n = u64::from_le_bytes(word);
        if n > KEPT as u64 {
            return Err(bad(path, format!("a sample of {n} examples exceeds the limit of {KEPT}")));
        }
        let (n, room) = (n as usize, sample.room());
        for i in 0..n {
            fill(path, reader, &mut word)?;
            let answer = u64::from_le_bytes(word);
            if answer >= header.origin.tokens.len() as u64 {
                return Err(bad(path, format!("an example of class {answer}, which there is not")));
            }
            let mut floats = |values: &mut [f32]| {
                let mut word = [0u8; 4];
                values.iter_mut().try_for_each(|value| {
                    fill(path, reader, &mut word)?;
                    *value = f32::from_le_bytes(word);
                    Ok::<(), LearnError>(())
                })
            };
            if header.taken.is_some() || room >= n || i * room / n < (i + 1) * room / n {
                sample.take_other(answer as usize, floats)?;
            } else {
                let mut passed = vec![0.0; header.inputs + header.width];
                floats(&mut passed)?;
            }
        }
        Ok(())
    }
}

/// Reads, and hashes what it read.
struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

fn fill(path: &Path, reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), LearnError> {
    reader.read_exact(buffer).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => bad(path, "it ends before it should"),
        _ => PathError::new("read", path, e).into(),
    })
}

fn bad(path: &Path, problem: impl Into<String>) -> LearnError {
    LearnError::Sums { path: path.to_owned(), problem: problem.into() }
}
