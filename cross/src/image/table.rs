//! An image's table of partitions (GPT; UEFI specification, section 5.3), as it is read again: what starts from it, and where
//! two images differ.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 512;
/// Entries of a table that are looked at; more than any image of ours has.
const ENTRIES: usize = 16;
/// Bytes of an entry.
const ENTRY: usize = 128;
/// Bytes compared at once.
const PIECE: usize = 4 << 20;

/// A partition of an image.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    /// First byte.
    pub begins: u64,
    pub bytes: u64,
}

/// Those of an image, in the order of the table.
pub fn partitions(image: &File) -> Result<Vec<Partition>> {
    let mut table = [0; ENTRIES * ENTRY];
    image.read_exact_at(&mut table, 2 * SECTOR).context("an image begins with a table of partitions")?;
    let length = image.metadata()?.len();
    let mut found = Vec::new();
    for entry in table.chunks_exact(ENTRY).filter(|entry| entry[..16] != [0; 16]) {
        let sector = |at: usize| entry[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let (first, last) = (sector(32), sector(40));
        let name: Vec<u16> = entry[56..].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
        let name = String::from_utf16_lossy(&name).trim_end_matches('\0').to_owned();
        ensure!(first <= last && last < length / SECTOR, "partition {name} is not within the image");
        found.push(Partition { name, begins: first * SECTOR, bytes: (last - first + 1) * SECTOR });
    }
    ensure!(!found.is_empty(), "there are no partitions in the image's table");
    Ok(found)
}

/// Whether an image has, before the table that all have, the older one of Raspberry Pis: a FAT partition in its first entry
/// (0xc), and not the one that only protects the other (0xee).
pub fn has_older(image: &File) -> Result<bool> {
    const KIND: u64 = 446 + 4;
    let mut kind = [0];
    image.read_exact_at(&mut kind, KIND).context("an image begins with a table of partitions")?;
    Ok(kind[0] == 0xc)
}

/// Names of the partitions in which two images differ, and `table` for what lies outside of them.
pub fn differences(one: &File, other: &File) -> Result<Vec<String>> {
    let length = one.metadata()?.len();
    if other.metadata()?.len() != length {
        return Ok(vec!["length".to_owned()]);
    }
    let all = partitions(one)?;
    let mut names: Vec<String> = Vec::new();
    let (mut a, mut b) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < length {
        // No partition begins or ends within a piece: they are aligned to as much.
        let bytes = PIECE.min((length - at) as usize);
        one.read_exact_at(&mut a[..bytes], at)?;
        other.read_exact_at(&mut b[..bytes], at)?;
        if a[..bytes] != b[..bytes] {
            let here = all.iter().find(|part| (part.begins..part.begins + part.bytes).contains(&at));
            let name = here.map_or("table", |part| &part.name);
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        at += bytes as u64;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// An image with the partitions `one` and `two`, a piece each.
    fn image(folder: &tempfile::TempDir, name: &str, change: impl Fn(&mut Vec<u8>)) -> File {
        let mut bytes = vec![0_u8; 3 * PIECE];
        for (entry, name) in ["one", "two"].into_iter().enumerate() {
            let at = 2 * SECTOR as usize + entry * ENTRY;
            let first = (entry as u64 + 1) * PIECE as u64 / SECTOR;
            bytes[at] = 1;
            bytes[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
            bytes[at + 40..at + 48].copy_from_slice(&(first + PIECE as u64 / SECTOR - 1).to_le_bytes());
            for (i, letter) in name.encode_utf16().enumerate() {
                bytes[at + 56 + 2 * i..at + 58 + 2 * i].copy_from_slice(&letter.to_le_bytes());
            }
        }
        change(&mut bytes);
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    #[test]
    fn where_two_images_differ_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let plain = image(&folder, "plain", |_| {});
        let found = partitions(&plain).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1],
            Partition { name: "two".to_owned(), begins: 2 * PIECE as u64, bytes: PIECE as u64 }
        );
        let changed = |at: usize| image(&folder, "changed", |bytes| bytes[at] = 9);
        assert!(differences(&plain, &image(&folder, "same", |_| {})).unwrap().is_empty());
        assert_eq!(differences(&plain, &changed(2 * PIECE + 5)).unwrap(), ["two"]);
        assert_eq!(differences(&plain, &changed(0)).unwrap(), ["table"]);
        assert_eq!(
            differences(&plain, &image(&folder, "short", |bytes| bytes.truncate(PIECE))).unwrap(),
            ["length"]
        );
    }

    #[test]
    fn a_table_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = image(&folder, "empty", |bytes| bytes.fill(0));
        assert!(partitions(&empty).unwrap_err().to_string().contains("no partitions"));
        let beyond = image(&folder, "beyond", |bytes| bytes[2 * SECTOR as usize + 46] = 1);
        assert!(partitions(&beyond).unwrap_err().to_string().contains("partition one"));
        assert!(!has_older(&beyond).unwrap());
        assert!(has_older(&image(&folder, "older", |bytes| bytes[450] = 0xc)).unwrap());
    }
}
