//! The boards' tests under pages of 16 KiB, which the kernel of a Raspberry Pi 5 has: in the system emulator under Debian's kernel of
//! that page size, since the user-mode emulator knows pages of 4 KiB alone. Kernel and tests start from memory; there is no disk.

use super::Suite;
use super::report::Outcome;
use crate::debian::Release;
use crate::{packages, sys};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release that has such a kernel, what stands for its newest, and what else the tests need.
const RELEASE: &str = "trixie";
const KERNEL: &str = "linux-image-arm64-16k";
const BESIDE: [&str; 3] = ["busybox-static", "libc6", "libgcc-s1"];
/// The core of a Raspberry Pi 5, two of them, and memory for the tests and what they are started from.
const MACHINE: [&str; 8] = ["-machine", "virt", "-cpu", "cortex-a76", "-smp", "2", "-m", "3072"];
/// On plain `ramfs` a file's pages count as a file's, as they do on a disk; on `tmpfs` they do not.
const TOLD: &str = "console=ttyAMA0 quiet panic=-1 rootfstype=ramfs";
/// Seconds that the machine may take; it needs some 90 on two cores with nothing beside it.
const LIMIT: &str = "1500";
/// What the kernel says of its pages.
const PAGES: &str = "KernelPageSize:       16 kB";
/// Folders whose files the tests read where they were built.
const SOURCES: [&str; 3] = ["device-profiles", "runtime", "transport"];
/// What the machine does: every test but those that need a model or a program that is not there, and says when it is through.
const INIT: &str = include_str!("pages.sh");
const THROUGH: &str = "sprig: every program ran";

/// Runs the tests that `cargo`, which builds without running, makes.
pub(super) fn check(suite: &Suite, cargo: &mut Command) -> Result<Outcome> {
    let programs = built(cargo)?;
    let system = match System::find() {
        Ok(system) => system,
        // Another distribution has no mirror of Debian's: not a fault of the code under test.
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let work = tempfile::tempdir_in(sys::target_dir())?;
    let memory = system.with(&programs, work.path())?;
    let console = work.path().join("console");
    let mut emulator = sys::command("timeout", suite.json);
    emulator.args([LIMIT, "qemu-system-aarch64"]).args(MACHINE).args(["-nic", "none", "-display", "none"]);
    emulator.args(["-monitor", "none", "-no-reboot", "-append", TOLD, "-kernel"]).arg(system.kernel()?);
    emulator.arg("-initrd").arg(memory).args(["-serial", "chardev:console", "-chardev"]);
    emulator.arg(format!("stdio,id=console,signal=off,logfile={}", console.display()));
    sys::check(&mut emulator)?;
    read(&String::from_utf8_lossy(&fs::read(&console)?), programs.len())
}

/// What the console tells of so many programs.
fn read(console: &str, programs: usize) -> Result<Outcome> {
    ensure!(console.contains(PAGES), "the machine did not come up with pages of 16 KiB");
    let mut passed = 0;
    let results: Vec<&str> = console.lines().filter(|line| line.starts_with("test result: ")).collect();
    for line in &results {
        let count = line.strip_prefix("test result: ok. ").and_then(|rest| rest.split(' ').next());
        let count: usize = count.and_then(|count| count.parse().ok()).with_context(|| line.to_string())?;
        passed += count;
    }
    if results.len() != programs || !console.contains(THROUGH) {
        bail!("{} of {programs} programs ran to their end", results.len());
    }
    Ok(Outcome::Passed(format!("{passed} tests")))
}

/// Test programs that `cargo` says it built.
fn built(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    let said = sys::output(cargo.args(["--message-format", "json-render-diagnostics"]))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}

/// Kernel, shell and C library of the machine.
struct System {
    root: PathBuf,
}

impl System {
    /// Finds it; fetches it through apt into the target folder.
    fn find() -> Result<Self> {
        packages::find_or_install("qemu-system-aarch64", "qemu-system-arm")?;
        packages::find_or_install("cpio", "cpio")?;
        let target = sys::target_dir();
        let root = target.join("pages-of-16-kib");
        if !root.is_dir() {
            fs::create_dir_all(&target)?;
            let work = tempfile::tempdir_in(&target)?;
            let made = work.path().join("root");
            let debian = Release::ask(RELEASE, "arm64", work.path())?;
            debian.unpack(&[&debian.needed_by(KERNEL)?], &made)?;
            fs::remove_dir_all(made.join("usr/lib/modules"))?; // some 500 MB
            debian.unpack(&BESIDE, &made)?;
            fs::rename(&made, &root)?;
        }
        Ok(Self { root })
    }

    fn kernel(&self) -> Result<PathBuf> {
        let files = fs::read_dir(self.root.join("boot"))?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut kernels = files.filter(|path| path.to_string_lossy().contains("/vmlinuz-"));
        kernels.next().context("the kernel's package has no kernel")
    }

    /// The file system that the kernel starts with, made in `work`.
    fn with(&self, programs: &[PathBuf], work: &Path) -> Result<PathBuf> {
        let root = work.join("root");
        for folder in ["bin", "dev", "lib", "proc", "sys", "tests", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::copy(self.root.join("usr/bin/busybox"), root.join("bin/busybox"))?;
        for library in ["ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1"] {
            let from = self.root.join("usr/lib/aarch64-linux-gnu").join(library);
            fs::copy(&from, root.join("lib").join(library)).with_context(|| from.display().to_string())?;
        }
        for program in programs {
            let name = program.file_name().context("a program has a name")?;
            fs::copy(program, root.join("tests").join(name))?;
        }
        fs::write(root.join("init"), INIT)?;
        fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
        let memory = work.join("memory.cpio");
        let mut archive = File::create(&memory)?;
        let mut own = Vec::new();
        below(&root, &mut own)?;
        pack(&mut archive, &root, &own)?;
        // The sources are where they are on this machine. The kernel takes archives one after another.
        let mut sources: Vec<PathBuf> = sys::workspace_root().ancestors().map(Path::to_path_buf).collect();
        sources.reverse();
        for folder in SOURCES {
            let folder = sys::workspace_root().join(folder);
            sources.push(folder.clone());
            below(&folder, &mut sources)?;
        }
        pack(&mut archive, Path::new("/"), &sources)?;
        Ok(memory)
    }
}

/// All below `folder` but what was built there, each folder before what is in it.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_name() != "target" {
            found.push(entry.path());
            if entry.file_type()?.is_dir() {
                below(&entry.path(), found)?;
            }
        }
    }
    Ok(())
}

/// Appends an archive of `paths`, named from `root` on, to `archive`.
fn pack(archive: &mut File, root: &Path, paths: &[PathBuf]) -> Result<()> {
    let mut cpio = Command::new("cpio");
    cpio.current_dir(root).args(["--create", "--quiet", "--format", "newc"]);
    let mut child =
        cpio.stdin(Stdio::piped()).stdout(archive.try_clone()?).spawn().context("cannot start cpio")?;
    let mut names = child.stdin.take().context("cpio reads names")?;
    for path in paths {
        let name = path.strip_prefix(root)?;
        if !name.as_os_str().is_empty() {
            writeln!(names, "{}", name.display())?;
        }
    }
    drop(names);
    ensure!(child.wait()?.success(), "cpio could not pack what is in {}", root.display());
    archive.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_passes_only_when_every_program_passed_under_its_pages() {
        let good =
            format!("{PAGES}\ntest result: ok. 5 passed; 0\ntest result: ok. 63 passed; 0\n{THROUGH}\n");
        assert!(matches!(read(&good, 2).unwrap(), Outcome::Passed(note) if note == "68 tests"));
        for (console, programs, says) in [
            (good.replace("16 kB", "4 kB"), 2, "pages"),
            (good.clone(), 3, "2 of 3"),
            (good.replace("ok. 63 passed; 0", "FAILED. 62 passed; 1"), 2, "FAILED"),
            (good.replace(THROUGH, ""), 2, "2 of 2"),
        ] {
            let error = format!("{:#}", read(&console, programs).err().expect(says));
            assert!(error.contains(says), "{error}");
        }
    }
}
