//! `cargo xtask build`: the program of a board, linked for the oldest C library it may meet, weighed and looked through.

use crate::floor::{FLOOR, Floor};
use crate::sys;
use crate::target::Target;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use sprig_device::{Board, Boards};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most bytes of the stripped binary: a board's flash and its page cache are small.
pub const BAR: u64 = 12_000_000;
/// What it may need of the system: the C library's parts and the compiler's.
const NEEDED: [&str; 9] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libgcc_s.so.1",
    "ld-linux-aarch64.so.1",
    "ld-linux-armhf.so.3",
    "ld-linux-x86-64.so.2",
];

/// Arguments of `cargo xtask build`.
#[derive(clap::Args)]
pub struct Args {
    /// Board that it is for, by its name as `sprig device` knows it
    #[arg(long, value_name = "NAME", required_unless_present = "target", conflicts_with = "target")]
    board: Option<String>,
    /// Or the kind of machine: aarch64-unknown-linux-gnu, armv7-unknown-linux-gnueabihf (32-bit systems) or
    /// x86_64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Link with this machine's C library, however new, instead of that of Debian 11
    #[arg(long)]
    own_libc: bool,
    /// Copy the program there
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was built as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Built {
    pub target: &'static str,
    /// Whose compiler it was.
    pub toolchain: &'static str,
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// The oldest glibc that it starts with.
    pub glibc: String,
    /// Libraries that it needs of the system.
    pub needed: BTreeSet<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let target = match (&args.board, &args.target) {
        (Some(name), _) => target_of(&board(name)?)?,
        (None, Some(target)) => Target::of(target)?,
        (None, None) => bail!("name a --board or a --target"),
    };
    if let Some(out) = &args.out {
        check_out(out)?;
    }
    let built = make(target, args.own_libc)?;
    let built = match &args.out {
        None => built,
        Some(out) => {
            sys::install_file(&built.path, out)?;
            fs::set_permissions(out, fs::Permissions::from_mode(0o755))?;
            Built { path: out.clone(), ..built }
        }
    };
    if args.json {
        println!("{}", serde_json::to_string(&built)?);
    } else {
        println!(
            "{}\n{} for {}, {:.1} MB of {} MB, glibc {} and later; by {}\nsha256 {}\nneeds {}",
            built.path.display(),
            args.board.as_deref().unwrap_or("sprig"),
            built.target,
            built.bytes as f64 / 1e6,
            BAR / 1_000_000,
            built.glibc,
            built.toolchain,
            built.sha256,
            built.needed.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        );
    }
    Ok(())
}

/// Builds the program for `target`: that of a board against the oldest C library that boards have, unless this machine's
/// `own_libc` will do.
pub fn make(target: Target, own_libc: bool) -> Result<Built> {
    let command = |program: &str| sys::command(program, true);
    if !target.is_foreign() {
        sys::check(plan(&mut command("cargo")))?;
        return Built::look(target, "this machine's", &sys::target_dir().join("dist/sprig"), false);
    }
    let floor = if own_libc { None } else { Some(Floor::find(target)?) };
    let toolchain = Toolchain::find(target)?;
    let mut cargo = toolchain.cargo(command, std::env::var_os("PATH").unwrap_or_default());
    if let Some(floor) = &floor {
        floor.link(&mut cargo);
    }
    sys::check(plan(&mut cargo).args(["--target", target.triple()]))?;
    let made = toolchain.target_dir().join(target.triple()).join("dist/sprig");
    Built::look(target, toolchain.name, &made, floor.is_some())
}

/// Whether a program may be put there: over another program, and over nothing else.
fn check_out(out: &Path) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let mut magic = [0; 4];
    let is_program = fs::File::open(out).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
    ensure!(
        is_program && magic == *b"\x7fELF",
        "{} is there, and no program; name another file",
        out.display()
    );
    Ok(())
}

/// Adds what builds a board's program to a cargo command.
pub fn plan(cargo: &mut Command) -> &mut Command {
    cargo.args(["build", "--locked", "--profile", "dist", "--package", "sprig"]);
    cargo.args(["--no-default-features", "--features", "device"]);
    match commit() {
        Some(commit) => cargo.env("SPRIG_COMMIT", commit),
        None => cargo,
    }
}

/// The commit that is built, for the program to tell in profiles; none where the source is not under git.
fn commit() -> Option<String> {
    let root = sys::workspace_root();
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]);
    git.stderr(std::process::Stdio::null());
    sys::output(&mut git).ok().map(|told| told.trim().to_owned()).filter(|told| !told.is_empty())
}

impl Built {
    /// Looks at the program `path`. One that is too large, needs what a board may not have or, where it was linked against
    /// the `floor`, asks for a newer C library is refused.
    pub fn look(target: Target, toolchain: &'static str, path: &Path, floor: bool) -> Result<Self> {
        let bytes = std::fs::metadata(path).with_context(|| format!("no {}", path.display()))?.len();
        ensure!(bytes <= BAR, "the program of a board takes {bytes} bytes, more than {BAR}");
        let read = |what: &str| sys::output(Command::new("readelf").args(["--wide", what]).arg(path));
        let glibc = newest(&read("--version-info")?).context("it needs no glibc")?;
        let oldest = format!("{}.{}", FLOOR.0, FLOOR.1);
        let found = format!("{}.{}", glibc.0, glibc.1);
        ensure!(!floor || glibc <= FLOOR, "it needs glibc {found}, and boards have {oldest}");
        let needed = libraries(&read("--dynamic")?);
        let strange: Vec<&String> = needed.iter().filter(|name| !NEEDED.contains(&name.as_str())).collect();
        ensure!(strange.is_empty(), "it needs {strange:?}, which a board may not have");
        Ok(Self {
            target: target.triple(),
            toolchain,
            path: path.to_owned(),
            bytes,
            sha256: sys::sha256(path)?,
            glibc: found,
            needed,
        })
    }
}

/// The board of this name.
pub fn board(name: &str) -> Result<Board> {
    Ok(Boards::of(Path::new("/"))?.by_name(name)?.clone())
}

/// The kind of machine that a board is.
pub fn target_of(board: &Board) -> Result<Target> {
    match board.name.as_str() {
        "generic-x86-64" => Ok(Target::X86_64),
        "generic" => bail!("generic is any machine; name generic-aarch64, generic-x86-64 or a board"),
        _ => Ok(Target::Aarch64),
    }
}

/// The newest glibc that is asked for in what readelf says of versions.
fn newest(text: &str) -> Option<(u32, u32)> {
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (major, minor) = rest[..end].split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    });
    versions.max()
}

/// The libraries that readelf says are needed.
fn libraries(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_libraries_are_read() {
        let text =
            "  0x0020: Rev: 1  Name: GLIBC_2.17  Flags: none\n 0x10: Name: GLIBC_2.9 \n Name: GLIBC_2.28\n";
        assert_eq!(newest(text), Some((2, 28)));
        assert_eq!(newest("Name: GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(newest("GCC_3.0 GLIBC_PRIVATE"), None);
        let text = " 0x01 (NEEDED)  Shared library: [libm.so.6]\n 0x0e (SONAME) [x]\n 0x01 (NEEDED) Shared library: [libc.so.6]";
        assert_eq!(libraries(text), ["libc.so.6", "libm.so.6"].map(str::to_owned).into());
    }

    #[test]
    fn a_program_goes_over_nothing_but_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sprig");
        check_out(&file).unwrap();
        fs::write(&file, "[package]").unwrap();
        assert!(check_out(&file).unwrap_err().to_string().contains("name another file"));
        assert!(check_out(folder.path()).is_err());
        fs::write(&file, b"\x7fELF and so on").unwrap();
        check_out(&file).unwrap();
    }

    #[test]
    fn boards_are_of_a_kind_that_is_built_for() {
        let target = |name| board(name).and_then(|board| target_of(&board));
        assert_eq!(target("raspberry-pi-zero-2-w").unwrap(), Target::Aarch64);
        assert_eq!(target("generic-x86-64").unwrap(), Target::X86_64);
        assert!(target("raspberry-pi-9").unwrap_err().to_string().contains("known boards"));
        assert_eq!(Target::of("armv7-unknown-linux-gnueabihf").unwrap(), Target::Armv7);
        assert!(Target::of("riscv64gc-unknown-linux-gnu").unwrap_err().to_string().contains("aarch64"));
    }
}
