//! Inputs that nobody thought of, made of those that somebody did.

use sprig_ground::random::SplitMix64;
use std::fs;
use std::path::Path;

/// One of `seeds`: now and then cut and joined with another, and with some bytes changed.
pub fn changed(seeds: &[Vec<u8>], draw: &mut SplitMix64) -> Vec<u8> {
    let [mut bytes, other] = [(); 2].map(|()| seeds[draw.below(seeds.len())].clone());
    if draw.chance(0.3) {
        bytes.truncate(draw.below(bytes.len() + 1));
        bytes.extend_from_slice(&other[draw.below(other.len() + 1)..]);
    }
    for _ in 0..draw.below(4) {
        if !bytes.is_empty() {
            let at = draw.below(bytes.len());
            bytes[at] = draw.draw() as u8;
        }
    }
    bytes
}

/// The files of a corpus.
pub fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// Writes seeds of a corpus, those that are short.
pub fn write<'a>(folder: &Path, seeds: impl IntoIterator<Item = (&'a str, Vec<u8>)>) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in seeds {
        if bytes.len() < 8000 {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}
