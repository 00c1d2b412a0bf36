//! A disk whose power can be cut: written bytes and synced bytes are kept apart.
//!
//! At a cut the synced bytes stay, and of what was written since any part may have reached the disk, in any order:
//! whole writes or only some of their sectors.

use redb::StorageBackend;
use sprig_ground::random::SplitMix64;
use std::io;
use std::sync::{Arc, Mutex};

/// A disk writes this many bytes at once or not at all.
const SECTOR: usize = 512;

/// A disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    /// What a reader sees.
    written: Vec<u8>,
    /// What is certain to be there after a cut.
    synced: Vec<u8>,
    unsynced: Vec<Operation>,
    operations: usize,
    fails_from: Option<usize>,
    /// Grows with each cut: handles of before are dead.
    power: u32,
    /// Syncs until the power is cut in the middle of one.
    syncs_left: Option<u32>,
    /// Which parts reach the disk when the power is cut.
    luck: SplitMix64,
}

#[derive(Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// The disk, plugged in.
#[derive(Debug)]
pub struct Plugged {
    disk: Disk,
    power: u32,
}

impl Default for Platter {
    fn default() -> Self {
        Self {
            written: Vec::new(),
            synced: Vec::new(),
            unsynced: Vec::new(),
            operations: 0,
            fails_from: None,
            power: 0,
            syncs_left: None,
            luck: SplitMix64::new(1),
        }
    }
}

impl Disk {
    /// A disk that holds `image`.
    pub fn holding(image: Vec<u8>) -> Self {
        let platter = Platter { written: image.clone(), synced: image, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// An empty one; `seed` decides what reaches it when its power goes.
    pub fn seeded(seed: u64) -> Self {
        let platter = Platter { luck: SplitMix64::new(seed), ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// What is certain to be there after a cut.
    pub fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().synced.clone()
    }

    /// Puts another content there; whoever has it plugged in gets errors.
    pub fn put_back(&self, image: Vec<u8>) {
        let mut platter = self.0.lock().unwrap();
        platter.cut();
        (platter.written, platter.synced) = (image.clone(), image);
    }

    /// Has what `make` writes to another disk appear here at once, if there is nothing yet: a file that is made aside and
    /// moved into place.
    pub fn begin<T, E>(&self, make: impl FnOnce(Plugged) -> Result<T, E>) -> Result<(), E> {
        if self.image().is_empty() {
            let aside = Self::default();
            drop(make(aside.plug())?);
            self.put_back(aside.image());
        }
        Ok(())
    }

    /// A handle that works until the power goes.
    pub fn plug(&self) -> Plugged {
        Plugged { disk: self.clone(), power: self.0.lock().unwrap().power }
    }

    /// Every operation from the `n`th on fails.
    pub fn fail_from(&self, n: usize) {
        self.0.lock().unwrap().fails_from = Some(n);
    }

    /// Every operation fails from now on.
    pub fn fails(&self) {
        self.0.lock().unwrap().fails_from = Some(0);
    }

    /// Operations succeed again.
    pub fn works(&self) {
        self.0.lock().unwrap().fails_from = None;
    }

    /// Writes, syncs and changes of length so far.
    pub fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// The power goes within the sync after `syncs` more.
    pub fn cut_after(&self, syncs: u32) {
        self.0.lock().unwrap().syncs_left = Some(syncs);
    }

    /// The power goes now, and comes back. Whoever still has the disk plugged in gets errors.
    pub fn cut(&self) {
        self.0.lock().unwrap().cut();
    }

    /// Whoever has the disk plugged in is killed: it writes no more, and what it wrote stays.
    pub fn unplug(&self) {
        let mut platter = self.0.lock().unwrap();
        platter.power += 1;
        platter.syncs_left = None;
    }

    /// What would be found after a cut now if `reached` said so of each unsynced part, in order.
    pub fn after_cut(&self, reached: impl FnMut() -> bool) -> Vec<u8> {
        self.0.lock().unwrap().after_cut(reached)
    }
}

impl Platter {
    fn cut(&mut self) {
        let mut luck = self.luck.clone();
        self.synced = self.after_cut(|| luck.chance(0.5));
        self.luck = luck;
        self.unsynced.clear();
        self.written.clone_from(&self.synced);
        self.power += 1;
        self.syncs_left = None;
    }

    fn after_cut(&self, mut reached: impl FnMut() -> bool) -> Vec<u8> {
        let mut image = self.synced.clone();
        for part in self.unsynced.iter().flat_map(Operation::sectors) {
            if reached() {
                part.apply(&mut image);
            }
        }
        image
    }

    fn write(&mut self, operation: Operation) {
        operation.apply(&mut self.written);
        self.unsynced.push(operation);
    }

    fn sync(&mut self) -> io::Result<()> {
        match &mut self.syncs_left {
            Some(0) => {
                self.cut();
                return Err(no_power());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        for operation in self.unsynced.drain(..) {
            operation.apply(&mut self.synced);
        }
        debug_assert!(self.synced.len() == self.written.len());
        Ok(())
    }
}

impl Operation {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => image.resize(*len, 0),
            Self::Write(at, data) => {
                image.resize(image.len().max(at + data.len()), 0);
                image[*at..][..data.len()].copy_from_slice(data);
            }
        }
    }

    /// The parts that reach the disk each on its own.
    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::SetLen(len) => vec![Self::SetLen(*len)],
            Self::Write(at, data) => {
                let parts = data.chunks(SECTOR).enumerate();
                parts.map(|(i, part)| Self::Write(at + i * SECTOR, part.to_vec())).collect()
            }
        }
    }
}

impl Plugged {
    fn with<T>(&self, work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.disk.0.lock().unwrap();
        if platter.power == self.power { work(&mut platter) } else { Err(no_power()) }
    }

    fn operate(&self, change: impl FnOnce(&mut Platter) -> io::Result<()>) -> io::Result<()> {
        self.with(|platter| {
            if platter.fails_from.is_some_and(|first| platter.operations >= first) {
                return Err(no_power());
            }
            platter.operations += 1;
            change(platter)
        })
    }
}

impl StorageBackend for Plugged {
    fn len(&self) -> io::Result<u64> {
        self.with(|platter| Ok(platter.written.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|platter| {
            let at = offset as usize;
            let data = platter.written.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(data);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(|platter| {
            platter.write(Operation::SetLen(len as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(Platter::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|platter| {
            platter.write(Operation::Write(offset as usize, data.to_vec()));
            Ok(())
        })
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is cut")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_synced_and_any_sector_of_what_was_not() {
        let disk = Disk::default();
        let plugged = disk.plug();
        plugged.set_len(2048).unwrap();
        plugged.sync_data().unwrap();
        plugged.write(0, &[1; 2048]).unwrap();
        assert_eq!(disk.after_cut(|| false), [0; 2048]);
        let mut turn = false;
        let half = disk.after_cut(|| {
            turn = !turn;
            turn
        });
        assert_eq!((half[0], half[512], half[1024]), (1, 0, 1));
        disk.fail_from(disk.operations());
        assert!(plugged.sync_data().is_err() && plugged.write(0, &[2]).is_err());
        assert_eq!(disk.after_cut(|| true), [1; 2048]);
    }

    #[test]
    fn without_power_nothing_works_until_the_disk_is_plugged_in_again() {
        let disk = Disk::holding(vec![7]);
        let plugged = disk.plug();
        disk.cut_after(1);
        plugged.sync_data().unwrap();
        assert!(plugged.sync_data().is_err() && plugged.len().is_err());
        assert_eq!(disk.plug().len().unwrap(), 1);
    }
}
