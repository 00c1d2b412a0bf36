//! Small file systems that a test can fill or make read-only, mounted where nobody else sees them.

use crate::scene::{self, Scene};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the copy of a test that runs in a mount namespace of its own.
const INSIDE: &str = "SPRIG_TEST_MOUNTS";

/// Runs `body` in a process of its own that may mount; skips it, saying so, where the system does not let us. `test` is
/// the test's whole name.
pub fn with_own_mounts(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    // As root, or as an ordinary user where those may have namespaces.
    for private in [&["--mount"][..], &["--mount", "--map-root-user"]] {
        let may =
            Command::new("unshare").args(private).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if may.is_ok_and(|o| o.status.success()) {
            let mut inside = Command::new("unshare");
            inside.args(private).arg(std::env::current_exe().unwrap());
            let output = inside.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
            print!("{}", String::from_utf8_lossy(&output.stdout));
            let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
            assert!(output.status.success() && ran, "{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
    }
    println!("SKIPPED {test}: file systems cannot be mounted here");
}

/// A file system of `kib` KiB in the folder `disk` of a scene.
pub struct Disk {
    folder: PathBuf,
    kib: u64,
}

impl Disk {
    pub fn new(scene: &Scene, kib: u64) -> Self {
        let folder = scene.path("disk");
        std::fs::create_dir(&folder).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"], &folder);
        Self { folder, kib }
    }

    /// Takes all that is left, now and while it is called again.
    pub fn fill(&self) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(self.folder.join("ballast")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Takes all but `kib` KiB.
    pub fn leave(&self, kib: u64) {
        std::fs::write(self.folder.join("ballast"), vec![0; ((self.kib - kib) << 10) as usize]).unwrap();
    }

    /// Gives back what was taken.
    pub fn free(&self) {
        std::fs::remove_file(self.folder.join("ballast")).unwrap();
    }

    /// Whether writing is forbidden from now on. Refused while a file is open for writing.
    pub fn forbid_writing(&self) -> bool {
        let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.folder).output();
        remount.unwrap().status.success()
    }

    pub fn allow_writing(&self) {
        mount(&["-o", "remount,rw"], &self.folder);
    }

    /// Names on the disk, sorted, the ballast left out.
    pub fn list(&self) -> Vec<String> {
        let mut names = scene::names(&self.folder);
        names.retain(|n| n != "ballast");
        names
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let status = Command::new("mount").args(arguments).arg(folder).status().unwrap();
    assert!(status.success());
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The namespace would take it along; the scene's folder must be empty of mounts before.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
