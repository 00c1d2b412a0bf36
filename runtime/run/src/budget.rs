//! What a run may use of the machine unless it is told.

use crate::RunError;
use sprig_budget::{Bytes, Size, process};
use sprig_device::Detected;

/// Most threads that are taken without being asked for.
const MOST_THREADS: usize = 64;

/// The bytes that a run may hold on the machine `here`: what was `asked` for, or else the board's share of the memory.
///
/// # Errors
/// [`RunError::UnknownMemory`] for a share of the memory where the kernel does not tell its size.
pub fn budget(asked: Option<Size>, here: &Detected) -> Result<Bytes, RunError> {
    match (asked, process::memory_at_hand()) {
        (None, _) => Ok(Bytes(here.budget())),
        (Some(Size::Bytes(bytes)), _) => Ok(bytes),
        (Some(share), Some(total)) => Ok(share.resolve(total)),
        (Some(share), None) => Err(RunError::UnknownMemory(share)),
    }
}

/// The threads of a run: those asked for, or else one a core.
pub fn threads(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(cores, usize::from).clamp(1, MOST_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_number_of_bytes_needs_no_machine_and_the_default_is_the_boards() {
        let here = sprig_device::detect(Path::new("/"));
        assert_eq!(budget(Some(Size::Bytes(Bytes::mib(300))), &here).unwrap(), Bytes::mib(300));
        assert_eq!(budget(None, &here).unwrap(), Bytes(here.budget()));
        let half = budget(Some(Size::Percent(50.0)), &here).unwrap();
        assert!(half <= process::memory_at_hand().unwrap() && half > Bytes::ZERO);
    }
}
