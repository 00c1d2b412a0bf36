//! `cargo xtask deb`: the program of a board as a Debian package, with its service, made by debhelper from `cross/deb`.

use crate::build::{self, Built};
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sprig_device::Board;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Points of the memory that the service may hold beyond the board's default budget: what a control group counts beside the
/// process, such as the kernel's buffers of its connections.
const BEYOND: u64 = 5;
/// What debhelper is told by the files of its folder, in the order in which they are written.
const TEMPLATES: [(&str, &str); 13] = [
    ("control", include_str!("../deb/control")),
    ("rules", include_str!("../deb/rules")),
    ("copyright", include_str!("../deb/copyright")),
    ("README.Debian", include_str!("../deb/README.Debian")),
    ("sprig.dirs", include_str!("../deb/sprig.dirs")),
    ("sprig.examples", include_str!("../deb/sprig.examples")),
    ("sprig.install", include_str!("../deb/sprig.install")),
    ("sprig.manpages", include_str!("../deb/sprig.manpages")),
    ("sprig.postinst", include_str!("../deb/sprig.postinst")),
    ("sprig.postrm", include_str!("../deb/sprig.postrm")),
    ("sprig.prerm", include_str!("../deb/sprig.prerm")),
    ("sprig.sprig-agent.service", include_str!("../deb/sprig.sprig-agent.service")),
    ("sprig.sysusers", include_str!("../deb/sprig.sysusers")),
];

/// Arguments of `cargo xtask deb`.
#[derive(clap::Args)]
pub struct Args {
    /// Board that it is for, by its name as `sprig device` knows it
    #[arg(long, value_name = "NAME")]
    board: String,
    /// Added to the version, such as +2: of two packages the later one is the upgrade
    #[arg(long, value_name = "TEXT", default_value = "")]
    suffix: String,
    /// Print what was made as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// A package.
#[derive(Debug, Serialize)]
pub struct Package {
    pub path: PathBuf,
    pub version: String,
    pub board: String,
    pub architecture: &'static str,
    pub bytes: u64,
    pub sha256: String,
    /// Percent of the memory that the service may hold: from the first on it is slowed down, the second is the limit.
    pub memory_percent: (u64, u64),
    pub program: Built,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let package = Package::make(&args.board, &args.suffix)?;
    if args.json {
        println!("{}", serde_json::to_string(&package)?);
    } else {
        let (high, most) = package.memory_percent;
        println!("{}", package.path.display());
        eprintln!(
            "for {}, {:.1} MB; the service is slowed down from {high} % of the memory on and may hold {most} %\nsha256 {}",
            package.board,
            package.bytes as f64 / 1e6,
            package.sha256
        );
    }
    Ok(())
}

impl Package {
    /// Builds the program and packs it, under the target folder.
    pub fn make(board: &str, suffix: &str) -> Result<Self> {
        let version = format!("{}{suffix}", env!("CARGO_PKG_VERSION"));
        let is_version = |c: char| c.is_ascii_alphanumeric() || ".+~".contains(c);
        ensure!(version.chars().all(is_version), "a version has letters, digits, . + and ~; not {version}");
        let board = build::board(board)?;
        let target = build::target_of(&board)?;
        debhelper()?;
        let program = build::make(target, false)?;
        let (architecture, limits) = (target.debian(), limits(&board));

        let folder = sys::target_dir().join("deb");
        fs::create_dir_all(&folder)?;
        // debhelper leaves what it makes beside the folder that it works in.
        let work = tempfile::tempdir_in(&folder)?;
        let source = work.path().join("sprig");
        let words = [
            ("@ARCHITECTURE@", architecture.to_owned()),
            ("@GLIBC@", program.glibc.clone()),
            ("@HIGH@", limits.0.to_string()),
            ("@MAINTAINER@", maintainer()),
            ("@MAX@", limits.1.to_string()),
            ("@TITLE@", board.title.clone()),
        ];
        lay_out(&source, &version, &words)?;
        place(&program.path, &source.join("program/sprig"))?;
        manual(&source)?;
        let mut packing = Command::new("dpkg-buildpackage");
        packing.current_dir(&source).args([
            "--build=binary",
            "--no-sign",
            "--no-check-builddeps",
            "--no-pre-clean",
        ]);
        sys::output(
            packing.args(["--host-arch", architecture]).env("SOURCE_DATE_EPOCH", date().to_string()),
        )?;

        let name = format!("sprig_{version}_{architecture}.deb");
        let path = folder.join(&name);
        sys::install_file(&work.path().join(&name), &path)?;
        Ok(Self {
            bytes: fs::metadata(&path)?.len(),
            sha256: sys::sha256(&path)?,
            path,
            version,
            board: board.name,
            architecture,
            memory_percent: limits,
            program,
        })
    }
}

/// Who is written to about the package: whoever makes it, by the variables that Debian's own tools read.
fn maintainer() -> String {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = given("DEBFULLNAME").unwrap_or_else(|| "Whoever built it".to_owned());
    format!("{name} <{}>", given("DEBEMAIL").unwrap_or_else(|| "root@localhost".to_owned()))
}

/// Percent of the memory: the board's default budget, and what the service may hold at most.
fn limits(board: &Board) -> (u64, u64) {
    let budget = (board.budget(board.managed()) * 100).div_ceil(board.managed());
    (budget, budget + BEYOND)
}

/// Writes the folder that debhelper packs, `words` in the place of what stands for them.
fn lay_out(source: &Path, version: &str, words: &[(&str, String)]) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<()> {
        let text = words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        let path = source.join(name);
        fs::create_dir_all(path.parent().context("a file needs a folder")?)?;
        Ok(fs::write(path, text)?)
    };
    for (name, text) in TEMPLATES {
        write(&format!("debian/{name}"), text)?;
    }
    write("debian/source/format", "3.0 (native)\n")?;
    let when = sys::output(
        Command::new("date").args(["--utc", "--rfc-email", "--date"]).arg(format!("@{}", date())),
    )?;
    let entry = "  * See CHANGELOG.md of the source.";
    let signed = format!(" -- {}  {}", maintainer(), when.trim());
    write("debian/changelog", &format!("sprig ({version}) stable; urgency=medium\n\n{entry}\n\n{signed}\n"))?;
    write("device.toml", include_str!("../deb/device.toml"))?;
    write("etc/default/sprig-agent", include_str!("../deb/sprig-agent.default"))
}

/// Manual pages and completions of the commands that a board's program has.
fn manual(source: &Path) -> Result<()> {
    let mut cargo = sys::command("cargo", true);
    cargo.args(["run", "--locked", "--quiet", "--package", "sprig", "--example", "manual"]);
    cargo.args(["--no-default-features", "--features", "device", "--"]);
    sys::check(cargo.arg(source))?;
    // bash looks for the command's own name.
    let completions = source.join("completions");
    Ok(fs::rename(completions.join("sprig.bash"), completions.join("sprig"))?)
}

fn place(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file needs a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Seconds since 1970 of the last commit, so that one source gives one package; 0 of a source without a history.
pub fn date() -> u64 {
    let mut git = sys::command("git", false);
    let last = sys::output(git.args(["log", "--max-count=1", "--format=%ct"])).ok();
    last.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Debian's own tools for packages.
fn debhelper() -> Result<()> {
    packages::find_or_install("dpkg-buildpackage", "dpkg-dev")?;
    packages::find_or_install("dh", "debhelper")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_hold_the_budget_and_a_little_more() {
        let limits = |name| limits(&build::board(name).unwrap());
        assert_eq!(limits("raspberry-pi-zero-2-w"), (45, 50));
        assert_eq!(limits("raspberry-pi-4b-8gb"), (70, 75));
        assert_eq!(limits("generic-aarch64"), (50, 55));
    }

    #[test]
    fn what_is_no_version_or_no_board_is_refused_before_anything_is_built() {
        let refused = |board, suffix| Package::make(board, suffix).unwrap_err().to_string();
        assert!(refused("raspberry-pi-zero-2-w", "/../x").contains("a version has letters"));
        assert!(refused("raspberry-pi-9", "").contains("known boards"));
        assert!(refused("generic", "").contains("name generic-aarch64"));
    }

    #[test]
    fn nothing_that_stands_for_something_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["@ARCHITECTURE@", "@GLIBC@", "@HIGH@", "@MAINTAINER@", "@MAX@", "@TITLE@"];
        lay_out(folder.path(), "1.2.3+4", &names.map(|name| (name, "50".to_owned()))).unwrap();
        for (name, _) in TEMPLATES {
            let text = fs::read_to_string(folder.path().join("debian").join(name)).unwrap();
            // systemd's own groups of system calls begin so, too.
            let left = names.iter().find(|word| text.contains(**word));
            assert_eq!(left, None, "{name}");
        }
        let changelog = fs::read_to_string(folder.path().join("debian/changelog")).unwrap();
        assert!(changelog.starts_with("sprig (1.2.3+4) stable"), "{changelog}");
    }
}
