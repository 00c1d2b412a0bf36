//! A limit on the memory of a few processes, by the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// A memory control group that goes with the value.
pub struct Group {
    folder: PathBuf,
    limit: u64,
    /// Whether control groups are of version 2.
    second: bool,
}

impl Group {
    /// A group under the system's root, in whichever version is there, with a limit and no swap; why not otherwise.
    pub fn new(name: &str, limit: u64) -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let second = !root.join("memory/memory.limit_in_bytes").exists();
        let folder = root.join(if second { "" } else { "memory" });
        let folder = folder.join(format!("sprig-test-{}-{name}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let group = Self { folder, limit, second };
        if second {
            group.set("memory.max", limit)?;
            group.set("memory.swap.max", 0)?;
        } else {
            group.set("memory.limit_in_bytes", limit)?;
            // Memory and swap together; without the file the kernel counts no swap, and there must be none.
            if group.set("memory.memsw.limit_in_bytes", limit).is_err() && swaps() {
                return Err("swap cannot be forbidden".to_owned());
            }
        }
        Ok(group)
    }

    /// Takes a process in.
    pub fn add(&self, pid: u32) {
        fs::write(self.members(), pid.to_string()).unwrap();
    }

    /// A process in the group that takes all but 8 MiB of what is left, and keeps it until it is killed.
    pub fn hog(&self) -> Child {
        let used = if self.second { "memory.current" } else { "memory.usage_in_bytes" };
        let used: u64 = self.read(used).trim().parse().unwrap();
        // Version 1 lists each count twice, its own and `total_`, which are the same in a group without groups.
        let stat = self.read("memory.stat");
        let cached =
            stat.lines().filter(|l| l.starts_with("inactive_file ") || l.starts_with("active_file "));
        let cache: u64 = cached.map(|l| l.split_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
        let bytes = self.limit - (used - cache) - (8 << 20);
        let members = self.members();
        let script =
            format!("echo $$ > {}; exec perl -e 'vec($x, {bytes}, 8) = 1; sleep 99'", members.display());
        Command::new("sh").args(["-c", &script]).spawn().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    fn set(&self, file: &str, value: u64) -> Result<(), String> {
        let path = self.folder.join(file);
        fs::write(&path, value.to_string()).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// A command whose process is a member from its start.
    pub fn member(members: &Path, plain: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(members);
        shell.arg(plain.get_program()).args(plain.get_args());
        if let Some(folder) = plain.get_current_dir() {
            shell.current_dir(folder);
        }
        shell
    }

    /// The file that processes are written to to become members.
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// How often the kernel found the group at its limit: it then takes back pages of files, or kills.
    pub fn times_full(&self) -> u64 {
        if !self.second {
            return self.read("memory.failcnt").trim().parse().unwrap();
        }
        let events = self.read("memory.events");
        events.lines().find_map(|l| l.strip_prefix("max ")?.trim().parse().ok()).unwrap()
    }

    /// Bytes charged at most, and processes killed for want of memory.
    pub fn usage(&self) -> (u64, u64) {
        let (peak, events) = match self.second {
            true => ("memory.peak", "memory.events"),
            false => ("memory.max_usage_in_bytes", "memory.oom_control"),
        };
        let killed = self.read(events).lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok());
        (self.read(peak).trim().parse().unwrap_or(0), killed.expect("the kernel counts kills"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A member that has just ended holds the group for a moment.
        for _ in 0..100 {
            match fs::remove_dir(&self.folder) {
                Ok(()) => return,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        println!("{} could not be removed", self.folder.display());
    }
}

fn swaps() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}
