//! A disk whose power can be cut: written bytes and synced bytes are kept apart.
//!
//! At a cut the synced bytes stay, and of what was written since any part may have reached the disk, in any order:
//! whole writes or only some of their sectors.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex};

/// A disk writes this many bytes at once or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a reader sees.
    written: Vec<u8>,
    /// What is certain to be there after a cut.
    synced: Vec<u8>,
    unsynced: Vec<Operation>,
    operations: usize,
    cut_at: Option<usize>,
}

#[derive(Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
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

impl Disk {
    /// A disk that holds `image`.
    pub fn holding(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { written: image.clone(), synced: image, ..State::default() })))
    }

    /// Every operation from the `n`th on fails.
    pub fn cut_at(&self, n: usize) {
        self.0.lock().unwrap().cut_at = Some(n);
    }

    /// Writes, syncs and changes of length so far.
    pub fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// What is found after the cut if `reached` says so of each unsynced part, in order.
    pub fn after_cut(&self, mut reached: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        let mut image = state.synced.clone();
        for part in state.unsynced.iter().flat_map(Operation::sectors) {
            if reached() {
                part.apply(&mut image);
            }
        }
        image
    }

    fn operate(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.cut_at.is_some_and(|cut| state.operations >= cut) {
            return Err(io::Error::other("the power is cut"));
        }
        state.operations += 1;
        change(&mut state);
        Ok(())
    }
}

impl State {
    fn write(&mut self, operation: Operation) {
        operation.apply(&mut self.written);
        self.unsynced.push(operation);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let at = offset as usize;
        let data = state.written.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(|state| state.write(Operation::SetLen(len as usize)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|state| {
            state.synced.clone_from(&state.written);
            state.unsynced.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|state| state.write(Operation::Write(offset as usize, data.to_vec())))
    }
}
