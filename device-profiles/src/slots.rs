//! Which of two systems a Jetson has started, and whether there are two, as its UEFI firmware tells it.

use crate::facts::bytes;
use serde::Serialize;
use std::path::Path;

/// Namespace of the variables that NVIDIA's firmware shows to Linux (`gNVIDIAPublicVariableGuid` of its edk2).
const PUBLIC: &str = "781e084c-a330-417c-b678-38e696380cb9";
/// Bytes of attributes before a variable's value (Linux, Documentation/filesystems/efivarfs.rst).
const ATTRIBUTES: usize = 4;

/// The boot chains of a Jetson whose firmware is UEFI: JetPack 5 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// The chain that it has started from: `A` or `B`.
    pub slot: char,
    /// Whether each chain has a root file system of its own, so that an update may leave the running one alone; none where the
    /// firmware does not tell.
    pub redundant: Option<bool>,
}

impl Slots {
    /// Asks the firmware of the machine whose files are below `root`.
    pub(crate) fn of(root: &Path) -> Option<Self> {
        let slot = match variable(root, "BootChainFwCurrent")? {
            0 => 'A',
            1 => 'B',
            _ => return None,
        };
        Some(Self { slot, redundant: variable(root, "RootfsRedundancyLevel").map(|level| level > 0) })
    }
}

impl std::fmt::Display for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {}", self.slot)?;
        match self.redundant {
            Some(true) => f.write_str(", two root file systems"),
            Some(false) => f.write_str(", one root file system: an update has nothing to fall back to"),
            None => Ok(()),
        }
    }
}

/// A variable of four bytes.
fn variable(root: &Path, name: &str) -> Option<u32> {
    let path = format!("sys/firmware/efi/efivars/{name}-{PUBLIC}");
    let value = bytes(root, Path::new(&path))?;
    value.get(ATTRIBUTES..)?.try_into().ok().map(u32::from_le_bytes)
}
