//! Storage that separates what was written from what was synced. A cut of its power loses a part of what was written
//! since the last sync, whichever part a disk may have got to.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex};

/// A disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Changes since the last sync.
    pending: Vec<Change>,
    /// Grows with each cut; handles of before are dead.
    power: u32,
    /// Syncs until the power is cut in the middle of one.
    left: Option<u32>,
    seed: u64,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// The disk, plugged in.
#[derive(Debug)]
pub struct Plugged(Disk, u32);

impl Disk {
    pub fn plug(&self) -> Plugged {
        Plugged(self.clone(), self.0.lock().unwrap().power)
    }

    /// The power goes within the sync after `syncs` more.
    pub fn cut_after(&self, syncs: u32) {
        self.0.lock().unwrap().left = Some(syncs);
    }

    /// The power goes now. Whoever still has the disk plugged in gets errors.
    pub fn cut(&self) {
        self.0.lock().unwrap().cut();
    }
}

impl Platter {
    fn cut(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match change {
                // A file system grows a file before it fills it.
                Change::Length(length) => self.synced.resize(length, 0),
                Change::Bytes(from, bytes) if self.seed >> 63 == 1 => {
                    if let Some(place) = self.synced.get_mut(from..from + bytes.len()) {
                        place.copy_from_slice(&bytes);
                    }
                }
                Change::Bytes(..) => {}
            }
        }
        self.written.clone_from(&self.synced);
        self.power += 1;
        self.left = None;
    }
}

impl Plugged {
    fn with<T>(&self, work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.0.0.lock().unwrap();
        if platter.power == self.1 { work(&mut platter) } else { Err(io::Error::other("no power")) }
    }
}

impl StorageBackend for Plugged {
    fn len(&self) -> io::Result<u64> {
        self.with(|p| Ok(p.written.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|p| {
            let from = offset as usize;
            let bytes = p.written.get(from..from + out.len());
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|p| {
            p.written.resize(len as usize, 0);
            p.pending.push(Change::Length(len as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|p| {
            match &mut p.left {
                Some(0) => {
                    p.cut();
                    return Err(io::Error::other("no power"));
                }
                Some(left) => *left -= 1,
                None => {}
            }
            p.synced.clone_from(&p.written);
            p.pending.clear();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|p| {
            let from = offset as usize;
            let place = p.written.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            place.copy_from_slice(data);
            p.pending.push(Change::Bytes(from, data.to_vec()));
            Ok(())
        })
    }
}
