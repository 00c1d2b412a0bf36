//! Blobs on their way to devices. All devices that want a blob share one sending of it: a carousel goes round until a
//! whole turn has passed since the last one asked.

use super::error::CoordinatorError;
use super::ledger::Ledger;
use sprig_transport::link::Link;
use sprig_transport::messages::{DeviceId, RunId, Want};
use sprig_transport::topics::Topics;

#[derive(Debug)]
pub(super) struct Carousel {
    topics: Topics,
    run: RunId,
}

impl Carousel {
    pub fn new(topics: Topics, run: RunId) -> Self {
        Carousel { topics, run }
    }

    pub fn is_turning(&self) -> bool {
        false
    }

    pub fn serve<L: Link>(
        &mut self,
        _ledger: &Ledger,
        _link: &mut L,
        _device: &DeviceId,
        _want: &Want,
    ) -> Result<(), CoordinatorError> {
        Ok(())
    }

    pub fn turn<L: Link>(&mut self, _ledger: &Ledger, _link: &mut L) -> Result<(), CoordinatorError> {
        Ok(())
    }
}
