//! What a run may use of the machine unless it is told.

use crate::RunError;
use sprig_budget::{Bytes, Size, process};
use sprig_device::{detect, detect_as};
use std::path::Path;

/// Most threads that are taken without being asked for.
const MOST_THREADS: usize = 64;

/// The bytes that a run may hold: what was `asked` for, or else this board's share of the memory. `board` names the
/// board where detection is wrong.
///
/// # Errors
/// There is no such board; or a share of the memory was asked for where the kernel does not tell its size.
pub fn budget(asked: Option<Size>, board: Option<&str>) -> Result<Bytes, RunError> {
    let Some(asked) = asked else {
        let root = Path::new("/");
        let here = board.map_or_else(|| detect(root), |name| detect_as(root, name))?;
        return Ok(Bytes(here.budget()));
    };
    match (asked, process::memory_at_hand()) {
        (Size::Bytes(bytes), _) => Ok(bytes),
        (share, Some(total)) => Ok(share.resolve(total)),
        (share, None) => Err(RunError::UnknownMemory(share)),
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

    #[test]
    fn a_number_of_bytes_needs_no_machine_and_the_default_is_the_boards() {
        assert_eq!(budget(Some(Size::Bytes(Bytes::mib(300))), None).unwrap(), Bytes::mib(300));
        assert_eq!(budget(None, None).unwrap(), Bytes(detect(Path::new("/")).unwrap().budget()));
        assert!(matches!(budget(None, Some("toaster")), Err(RunError::Board(_))));
        let half = budget(Some(Size::Percent(50.0)), None).unwrap();
        assert!(half <= process::memory_at_hand().unwrap() && half > Bytes::ZERO);
    }
}
