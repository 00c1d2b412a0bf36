//! A cargo and a rustc that build for boards on a machine of another kind.

use crate::target::Target;
use crate::{packages, sys};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cargo and rustc that hold the standard library of a target.
pub struct Toolchain {
    target: Target,
    cargo: PathBuf,
    rustc: Option<PathBuf>,
    /// Whose they are.
    pub name: &'static str,
}

impl Toolchain {
    /// Finds one, and installs what is missing: linker and C library through apt, the standard library through rustup where
    /// rustup can fetch it, else Debian's own Rust of the foreign architecture.
    pub fn find(target: Target) -> Result<Self> {
        let libc = Path::new(&sysroot(target)).join("lib/libc.so.6");
        if sys::find_program(&linker(target)).is_none() || !libc.is_file() {
            let (compiler, libc) =
                (format!("gcc-{}", target.gnu()), format!("libc6-dev-{}-cross", target.debian()));
            packages::apt_install(&[&compiler, &libc])?;
        }
        // SPRIG_AARCH64_RUST=debian takes the second way where the first would do.
        let debian_only = std::env::var("SPRIG_AARCH64_RUST").is_ok_and(|value| value == "debian");
        if !debian_only && rustup_has(target) {
            return Ok(Toolchain { target, cargo: "cargo".into(), rustc: None, name: "rustup" });
        }
        if target == Target::Armv7 {
            bail!(
                "`rustup target add {}` does not work here, and Debian's Rust for armhf is too old",
                target.triple()
            );
        }
        let debian = Toolchain {
            target,
            cargo: "/usr/bin/cargo".into(),
            rustc: Some("/usr/bin/rustc".into()),
            name: "Debian's Rust",
        };
        if !debian.has_target() {
            if !std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("\nID=debian")) {
                bail!(
                    "`rustup target add {}` does not work here, and this is not Debian, whose Rust would do",
                    target.triple()
                );
            }
            sys::check(packages::as_root("dpkg")?.args(["--add-architecture", "arm64"]))?;
            // The -web packages are the recent Rust that stable releases of Debian carry.
            packages::apt_install(&["rustc-web", "cargo-web", "libstd-rust-web-dev:arm64"])?;
        }
        if !debian.has_target() {
            bail!("Debian's Rust was installed, but holds no standard library for {}", target.triple());
        }
        Ok(debian)
    }

    /// Its cargo, as `command` starts programs, set up to link for the target. `path` is where programs are looked for.
    pub fn cargo(&self, command: impl Fn(&str) -> Command, path: OsString) -> Command {
        let mut cargo = command(&self.cargo.to_string_lossy());
        if let Some(rustc) = &self.rustc {
            // The rustup shim before it in PATH would answer to `rustc` and `rustdoc`.
            cargo.env("RUSTC", rustc).env("PATH", path_from(Path::new("/usr/bin"), path));
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        }
        cargo.env("CARGO_TARGET_DIR", self.target_dir());
        cargo.env(self.target.variable("LINKER"), linker(self.target));
        cargo
    }

    /// Where its output goes.
    pub fn target_dir(&self) -> PathBuf {
        match self.rustc {
            // Another compiler's output; rustup's shares the host's procedural macros.
            Some(_) => sys::target_dir().join("debian"),
            None => sys::target_dir(),
        }
    }

    fn has_target(&self) -> bool {
        let Some(rustc) = &self.rustc else { return rustup_has(self.target) };
        let print = ["--print", "target-libdir", "--target", self.target.triple()];
        sys::output(Command::new(rustc).args(print)).is_ok_and(|folder| {
            let files = std::fs::read_dir(folder.trim());
            files.is_ok_and(|mut files| {
                files.any(|file| {
                    file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
                })
            })
        })
    }
}

/// Where Debian's and Ubuntu's cross C library lies.
pub fn sysroot(target: Target) -> String {
    format!("/usr/{}", target.gnu())
}

fn linker(target: Target) -> String {
    format!("{}-gcc", target.gnu())
}

fn rustup_has(target: Target) -> bool {
    let installed = sys::output(Command::new("rustup").args(["target", "list", "--installed"]));
    if installed.is_ok_and(|list| list.lines().any(|line| line == target.triple())) {
        return true;
    }
    // A machine that cannot reach rustup's server must not wait for its retries.
    let mut rustup = Command::new("timeout");
    sys::succeeds(
        rustup.args(["120", "rustup", "target", "add", target.triple()]).env("RUSTUP_MAX_RETRIES", "1"),
    )
}

fn path_from(first: &Path, rest: OsString) -> OsString {
    let folders = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).unwrap_or(rest)
}
