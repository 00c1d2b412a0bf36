//! The memory limit a cgroup sets on this process.

use crate::Bytes;
use sprig_ground::cgroup;
use std::path::Path;

/// Limit and use of the cgroup this process is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupMemory {
    /// The tightest limit of the group and its ancestors; `None` if there is none.
    pub limit: Option<Bytes>,
    /// What the group with that limit uses, page cache included.
    pub used: Option<Bytes>,
    /// The page cache in it.
    pub cache: Option<Bytes>,
}

/// The cgroup of this process, as `/proc/self/cgroup` and `/sys/fs/cgroup` tell it.
pub fn cgroup() -> CgroupMemory {
    let cgroup::Memory { limit, used, cache } = cgroup::memory(Path::new("/"));
    CgroupMemory { limit: limit.map(Bytes), used: used.map(Bytes), cache: cache.map(Bytes) }
}
