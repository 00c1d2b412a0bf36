//! The memory limit that a control group sets on this process, versions 1 and 2.

use crate::kernel::read_small;
use std::path::{Component, Path};

/// Limit and use, in bytes, of the control group this process is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The tightest limit of the group and its ancestors; `None` if there is none.
    pub limit: Option<u64>,
    /// What the group with that limit uses, page cache included.
    pub used: Option<u64>,
    /// The page cache in it.
    pub cache: Option<u64>,
}

/// The control group of this process, as `proc/self/cgroup` and `sys/fs/cgroup` below `root` (`/` for this machine) tell
/// it.
pub fn memory(root: &Path) -> Memory {
    let membership = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    memory_at(&root.join("sys/fs/cgroup"), &membership)
}

fn memory_at(root: &Path, membership: &str) -> Memory {
    // Lines are `id:controllers:path`. Version 1 names its controllers, version 2 names none.
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?;
            wanted(controllers).then_some(fields.next()?)
        })
    };
    let v1 = path_of(&|controllers| controllers.split(',').any(|c| c == "memory"));
    if let Some(path) = v1 {
        return walk(&root.join("memory"), path, "memory.limit_in_bytes", "memory.usage_in_bytes");
    }
    match path_of(&str::is_empty) {
        Some(path) => walk(root, path, "memory.max", "memory.current"),
        None => Memory::default(),
    }
}

/// Reads the group and its ancestors up to the mount. In a container the path may be the host's and
/// not exist here; the walk then ends at the mount, which is the container's own group.
fn walk(mount: &Path, path: &str, limit: &str, used: &str) -> Memory {
    let mut memory = Memory::default();
    let relative = Path::new(path.trim_start_matches('/'));
    if relative.components().any(|c| !matches!(c, Component::Normal(_))) {
        return memory;
    }
    for ancestor in relative.ancestors() {
        let group = mount.join(ancestor);
        let number = |file| read_small(&group.join(file), |text| text.trim().parse::<u64>().ok());
        // Version 2 writes "max" for no limit; version 1 the largest page-aligned i64.
        let this = number(limit).filter(|n| *n < 1 << 62);
        let tighter = this.is_some_and(|this| memory.limit.is_none_or(|limit| this < limit));
        if tighter || memory.used.is_none() {
            memory.limit = this.or(memory.limit);
            memory.used = number(used).or(memory.used);
            memory.cache = read_small(&group.join("memory.stat"), file_pages).or(memory.cache);
        }
    }
    memory
}

/// Pages of files in a `memory.stat`; version 1 also counts those of the groups below, under `total_`.
fn file_pages(text: &str) -> Option<u64> {
    let line = |key: &str| {
        let fields = text.lines().filter_map(|line| line.split_once(' '));
        fields.filter(|(name, _)| *name == key).find_map(|(_, n)| n.trim().parse::<u64>().ok())
    };
    let either = |key: &str| line(&format!("total_{key}")).or_else(|| line(key));
    Some(either("inactive_file")?.saturating_add(either("active_file")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn version_2_takes_the_tightest_limit_above() {
        let root = tree(&[
            ("system.slice/memory.max", "314572800\n"),
            ("system.slice/sprig.service/memory.max", "max\n"),
            ("system.slice/sprig.service/memory.current", "104857600\n"),
        ]);
        let got = memory_at(root.path(), "0::/system.slice/sprig.service\n");
        assert_eq!(got, Memory { limit: Some(300 << 20), used: Some(100 << 20), cache: None });
    }

    #[test]
    fn version_1_in_a_container_falls_back_to_the_mount() {
        let root = tree(&[
            ("memory/memory.limit_in_bytes", "268435456"),
            ("memory/memory.usage_in_bytes", "4096"),
            (
                "memory/memory.stat",
                "cache 9\ninactive_file 1\nactive_file 2\ntotal_inactive_file 3\ntotal_active_file 4\n",
            ),
        ]);
        let got = memory_at(root.path(), "9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n");
        assert_eq!(got, Memory { limit: Some(256 << 20), used: Some(4096), cache: Some(7) });
    }

    #[test]
    fn no_limit_no_files_or_a_hostile_path_is_none() {
        let root = tree(&[("memory/memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "1")]);
        for membership in ["4:memory:/\n", "0::/../../etc\n", "", "garbage", "0::"] {
            let got = memory_at(root.path(), membership);
            assert!(got.limit.is_none() || membership == "0::", "{membership}: {got:?}");
        }
    }
}
