//! The oldest C library that a board's program is to run with: that of Debian 11, which is also that of JetPack 5. Programs
//! are linked against it, for what is linked against a newer one asks for the newer one's symbols.

use crate::debian::Release;
use crate::sys;
use crate::target::Target;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of glibc.
pub const FLOOR: (u32, u32) = (2, 31);
/// The release of Debian that has it.
const RELEASE: &str = "bullseye";
const PACKAGES: [&str; 5] = ["libc6", "libc6-dev", "linux-libc-dev", "libcrypt1", "libgcc-s1"];

/// It, unpacked.
pub struct Floor {
    board: Target,
    root: PathBuf,
}

impl Floor {
    /// Finds it; fetches it through apt from the mirror that this machine uses, into the target folder. Nothing is installed.
    pub fn find(board: Target) -> Result<Self> {
        let target = sys::target_dir();
        let root = target.join(format!("glibc-{}.{}-{}", FLOOR.0, FLOOR.1, board.debian()));
        if root.to_string_lossy().contains(char::is_whitespace) {
            bail!("{} has a space in it, at which cargo splits flags; set CARGO_TARGET_DIR", root.display());
        }
        if !root.is_dir() {
            fs::create_dir_all(&target)?;
            // Made beside it and moved: what a stop leaves is made anew.
            let work = tempfile::tempdir_in(&target)?;
            let made = work.path().join("root");
            let debian = Release::ask(RELEASE, board.debian(), work.path());
            debian.and_then(|debian| debian.unpack(&PACKAGES, &made)).with_context(|| {
                format!("the C library of Debian's {RELEASE} cannot be had; build with --own-libc without it")
            })?;
            relink(&made, &root)?;
            fs::rename(&made, &root)?;
        }
        Ok(Self { board, root })
    }

    /// Has what `cargo` builds for the target link against it.
    pub fn link(&self, cargo: &mut Command) {
        let root = self.root.display();
        let [usr, lib] = ["usr/lib", "lib"]
            .map(|folder| self.root.join(folder).join(self.board.gnu()).display().to_string());
        cargo.env(
            self.board.variable("RUSTFLAGS"),
            format!("-Clink-arg=--sysroot={root} -Clink-arg=-B{usr} -Clink-arg=-L{usr} -Clink-arg=-L{lib}"),
        );
        cargo.env(format!("CFLAGS_{}", self.board.triple().replace('-', "_")), format!("--sysroot={root}"));
    }

    /// Where its loader and libraries are, for an emulator.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Has the absolute links below `made` point into `root`, where that will be: on this machine they name its own libraries.
fn relink(made: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(made)? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            relink(&path, root)?;
        } else if kind.is_symlink()
            && let Ok(rest) = fs::read_link(&path)?.strip_prefix("/")
        {
            let to = root.join(rest);
            fs::remove_file(&path)?;
            symlink(to, &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_point_to_where_a_tree_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        fs::create_dir_all(made.join("usr/lib")).unwrap();
        symlink("/lib/libm.so.6", made.join("usr/lib/libm.so")).unwrap();
        symlink("libc-2.31.so", made.join("usr/lib/libc.so.6")).unwrap();
        relink(&made, Path::new("/where/it/will/be")).unwrap();
        let to = |name: &str| fs::read_link(made.join("usr/lib").join(name)).unwrap();
        assert_eq!(to("libm.so"), Path::new("/where/it/will/be/lib/libm.so.6"));
        assert_eq!(to("libc.so.6"), Path::new("libc-2.31.so"));
    }
}
