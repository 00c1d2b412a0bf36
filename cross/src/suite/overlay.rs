//! What is laid over a Jetson's system before it is flashed, in a root file system of its architecture: its first start, which
//! loses its power while the package is installed, and the next one, which ends what was begun.

use crate::image::given::GivenArgs;
use crate::image::overlay::{Args, GIVEN, Overlay};
use crate::root::Root;
use crate::sys;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const BOARD: &str = "jetson-orin-nano-8gb";
const SCRIPT: &str = "/opt/sprig-first-boot/first-boot";
const UNIT: &str = "etc/systemd/system/sprig-first-boot.service";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/sprig-first-boot.service";
/// What a board is given of its fleet, as far as it is read here.
const FILES: [(&str, &str); 2] = [
    ("device.toml", "[model]\npath = \"model.gguf\"\n[data]\ntrain = \"train.jsonl\"\n"),
    ("client.key", "a key"),
];

/// Goes through it in a system that was just unpacked.
pub(super) fn check(root: &Root) -> Result<()> {
    let work = tempfile::tempdir()?;
    let fleet = work.path().join("kitchen");
    fs::create_dir_all(&fleet)?;
    for (name, text) in FILES {
        fs::write(fleet.join(name), text)?;
    }
    let out = Some(work.path().join("overlay.tar"));
    let args = Args {
        board: BOARD.to_owned(),
        given: GivenArgs { fleet: Some(fleet), ..GivenArgs::default() },
        out,
        ..Args::default()
    };
    let overlay = Overlay::make(&args)?;
    ensure!(overlay.sha256 == Overlay::make(&args)?.sha256, "made twice, the overlays differ");
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(root.path()).arg("-xpf").arg(&overlay.path);
    sys::output(&mut unpack)?;
    let said = root.command(&["systemd-analyze", "verify", "--man=no", &format!("/{UNIT}")]).output()?;
    let problems = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.status.success() && problems.is_empty(), "systemd-analyze verify: {problems}");

    cut(root)?;
    root.run(&[SCRIPT])?;
    ensure!(root.run(&["sprig", "--version"])?.starts_with("sprig "), "sprig is not installed");
    for (name, text) in FILES {
        let file = root.at("var/lib/sprig/agent").join(name);
        ensure!(fs::read_to_string(&file)? == text, "the board was not given its {name}");
        let of = root.run(&["stat", "--format=%U %a", &format!("/var/lib/sprig/agent/{name}")])?;
        ensure!(of.trim() == "sprig 600", "{name} is of {of}");
    }
    let enabled = "etc/systemd/system/multi-user.target.wants/sprig-agent.service";
    ensure!(fs::symlink_metadata(root.at(enabled)).is_ok(), "the agent is not enabled");
    for left in [GIVEN, UNIT, WANTED] {
        ensure!(fs::symlink_metadata(root.at(left)).is_err(), "{left} is left behind");
    }
    Ok(())
}

/// Starts it, and takes its power as it unpacks the program.
fn cut(root: &Root) -> Result<()> {
    let mut first = root.command(&[SCRIPT]);
    let mut first = first.process_group(0).spawn().context("the first start does not start")?;
    let until = Instant::now() + Duration::from_secs(120);
    let program = [root.at("usr/bin/sprig.dpkg-new"), root.at("usr/bin/sprig")];
    while !program.iter().any(|path| path.exists()) && Instant::now() < until {
        ensure!(first.try_wait()?.is_none(), "the first start ended before it installed anything");
        thread::sleep(Duration::from_millis(5));
    }
    // Without the two dashes procps's `kill` takes a group for nothing, and says nothing.
    sys::output(Command::new("kill").args(["-9", "--", &format!("-{}", first.id())]))?;
    ensure!(!first.wait()?.success(), "the first start ended before its power was cut");
    ensure!(root.at(GIVEN).is_dir(), "what the board was given is gone before it is in its place");
    Ok(())
}
