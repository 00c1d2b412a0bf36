//! Storage that separates what was written from what was synced: cutting its power loses the difference.

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
    /// Grows with each cut; handles of before are dead.
    power: u32,
}

/// The disk, plugged in.
#[derive(Debug)]
pub struct Plugged(Disk, u32);

impl Disk {
    pub fn plug(&self) -> Plugged {
        Plugged(self.clone(), self.0.lock().unwrap().power)
    }

    /// Loses what was not synced. Whoever still has it plugged in gets errors.
    pub fn cut(&self) {
        let mut platter = self.0.lock().unwrap();
        platter.written = platter.synced.clone();
        platter.power += 1;
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
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|p| {
            p.synced.clone_from(&p.written);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|p| {
            let from = offset as usize;
            let place = p.written.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            place.copy_from_slice(data);
            Ok(())
        })
    }
}
