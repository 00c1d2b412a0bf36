//! What else a training has: what noise and secure aggregation can, or cannot, stand beside.

use super::Upload;
use sprig_learn::directions::Sharing;
use sprig_learn::estimator::Method;
use sprig_learn::spry::{Dealing, Mode, Robust, Seeds};

/// The settings that decide it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub readout: bool,
    pub flow: bool,
    pub parts: bool,
    pub secure: bool,
    pub robust: Robust,
    pub up: Upload,
    pub mode: Mode,
    pub estimator: Method,
    pub directions: Sharing,
    pub dealing: Dealing,
    pub seeds: Seeds,
}
