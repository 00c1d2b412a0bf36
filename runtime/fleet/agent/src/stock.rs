//! The board's own data: read for a training, and again between two rounds when they have changed.

use super::AgentEvent;
use super::model::{Opened, open_data};
use sprig_budget::Bytes;
use sprig_learn::data::files;
use sprig_protocol::FleetError;
use sprig_protocol::settings::{DeviceSettings, Train};
use sprig_run::{Base, Data};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Time between two looks at the files. What has changed is read once it is the same at two of them: nobody is writing it.
const LOOK: Duration = Duration::from_secs(2);

/// What the files of data looked like: names, bytes, and when they were changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<(PathBuf, u64, Option<SystemTime>)>);

/// Data, and what their files looked like before they were read.
pub(crate) struct Stock {
    pub data: Data,
    pub stamp: Stamp,
}

/// Looks whether data have changed since they were read.
pub(crate) struct Lookout<'s> {
    path: &'s Path,
    read: &'s Stamp,
    /// What they looked like at the last look, if they had changed.
    seen: Option<Stamp>,
    next: Instant,
}

impl Stamp {
    /// Of the file or folder at `path`; what cannot be looked at has no files.
    pub(crate) fn of(path: &Path) -> Self {
        let looked = |file: PathBuf| {
            let found = file.metadata().ok()?;
            Some((file, found.len(), found.modified().ok()))
        };
        Self(files(path).unwrap_or_default().into_iter().filter_map(looked).collect())
    }
}

impl<'s> Lookout<'s> {
    pub(crate) fn new(path: &'s Path, read: &'s Stamp) -> Self {
        Self { path, read, seen: None, next: Instant::now() + LOOK }
    }

    /// Whether they are others now, and nobody is writing them. It looks every few seconds alone.
    pub(crate) fn changed(&mut self) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        self.next = Instant::now() + LOOK;
        let now = Stamp::of(self.path);
        if now == *self.read {
            self.seen = None;
            return false;
        }
        self.seen.replace(now.clone()) == Some(now)
    }
}

/// Reads a device's data for `train`; or, beside those it has `kept`, reads them again. New ones that cannot be used, or with
/// which the training does not fit the budget, are told, and the old ones stay.
///
/// # Errors
/// The first ones cannot be used.
pub(crate) fn stocked(
    base: &Base<'_>,
    settings: &DeviceSettings,
    train: &Train,
    kept: Option<Stock>,
    watch: &mut dyn FnMut(AgentEvent),
) -> Result<Stock, FleetError> {
    // Before they are read: a change meanwhile is seen later.
    let stamp = Stamp::of(&settings.data.train);
    let Some(kept) = kept else {
        return Ok(Stock { data: open_data(base, settings, train, Bytes::ZERO)?, stamp });
    };
    let (before, held) = (kept.data.train.len(), Bytes(kept.data.train.bytes() as u64));
    let read = open_data(base, settings, train, held);
    let fits = read.and_then(|data| Opened::plan(base, train, &data, settings).map(|_| data));
    Ok(match fits {
        Ok(data) => {
            watch(AgentEvent::Data { examples: data.train.len(), before });
            Stock { data, stamp }
        }
        Err(e) => {
            watch(AgentEvent::DataRefused { problem: e.to_string() });
            Stock { stamp, ..kept }
        }
    })
}
