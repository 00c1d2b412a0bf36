//! Training inside a memory control group whose limit is the budget, with no swap: what the kernel would kill on a board.

use crate::budget::{Ground, Outcome, seed};
use crate::cases::Draw;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A memory control group that goes with the value.
struct Group {
    folder: PathBuf,
    second: bool,
}

impl Group {
    /// A group under the system's root, in whichever version is there; why not otherwise.
    fn new(name: &str, limit: u64) -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let second = !root.join("memory/memory.limit_in_bytes").exists();
        let folder = root.join(if second { "" } else { "memory" }).join(name);
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let group = Self { folder, second };
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

    fn set(&self, file: &str, value: u64) -> Result<(), String> {
        let path = self.folder.join(file);
        fs::write(&path, value.to_string()).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Bytes charged at most, and processes killed for want of memory.
    fn usage(&self) -> (u64, u64) {
        let (peak, events) = match self.second {
            true => ("memory.peak", "memory.events"),
            false => ("memory.max_usage_in_bytes", "memory.oom_control"),
        };
        let read = |file: &str| fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let killed = read(events).lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok());
        (read(peak).trim().parse().unwrap_or(0), killed.expect("the kernel counts kills"))
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

#[test]
fn real_model_runs_end_well_in_a_group_that_holds_no_more_than_the_budget() {
    let name = |n: usize| format!("sprig-test-{}-{n}", std::process::id());
    if let Err(why) = Group::new(&name(0), 1 << 30) {
        println!("SKIPPED: no memory control group can be made here: {why}");
        return;
    }
    let mut ground = Ground::new();
    // A copy of the model whose pages nobody has read yet: they are charged to the group, as on a board.
    let model = ground.scene.path("model.gguf");
    fs::copy(&ground.model, &model).unwrap();
    fs::File::open(&model).unwrap().sync_all().unwrap();
    ground.model = model;
    let mut cases = Ground::cases(26, seed() + 100);
    cases.retain(|case| !matches!(case.budget, Draw::Below(_)) && !case.resumed);
    cases.truncate(20);
    let mut trained = 0;
    for (n, case) in cases.iter().enumerate() {
        let line = ground.line(case, n);
        let (smallest, budget) = ground.budget(case, &line).unwrap();
        let line = format!("{line} --budget {budget}");
        let mut forget = Command::new("dd");
        forget.arg(format!("if={}", ground.model.display())).args(["iflag=nocache", "count=0"]);
        assert!(forget.output().unwrap().status.success());
        let group = Group::new(&name(n), budget).unwrap();
        let ended = ground.run(&line, Some(&group.members()));
        let (charged, killed) = group.usage();
        assert!(killed == 0, "killed at {budget} bytes: sprig {line}\n{}", ended.err);
        match ground.judge(&line, ended, budget, smallest) {
            Ok(Outcome::Trained { peak, .. }) => {
                trained += 1;
                println!("budget {budget}, peak {peak}, charged at most {charged}");
            }
            Ok(Outcome::Refused) => {}
            Err(problem) => panic!("{problem}"),
        }
    }
    println!("{trained} of {} cases trained", cases.len());
    assert!(trained >= 10);
}
