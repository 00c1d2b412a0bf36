//! The Debian package of a board in a root file system of its architecture, under the user-mode emulator: made, judged by
//! lintian, installed, its agent started, upgraded, purged.

use super::Suite;
use super::overlay;
use super::report::Outcome;
use crate::deb::Package;
use crate::debian::mirror;
use crate::root::{Debian, Root, emulate};
use crate::{packages, sys};
use anyhow::{Context, Result, ensure};
use sprig_testkit::mosquitto::Mosquitto;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const BOARD: &str = "raspberry-pi-zero-2-w";
/// A small system of what Raspberry Pi OS is made of.
const SYSTEM: Debian<'_> = Debian {
    release: "bookworm",
    include: &["systemd"],
    components: "main",
    suites: &[],
    options: &["--variant=apt"],
};
/// Not judged: the maintainer, who is whoever makes a package (DEBEMAIL); and that an installation which finds settings hands
/// them to the service's user, when nobody else's files can be among them.
const NOT_JUDGED: &str =
    "bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact,recursive-privilege-change";
const AGENT: &str = "var/lib/sprig/agent";
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants/sprig-agent.service";

/// Runs the stage.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    if !packages::is_root() {
        return Ok(Outcome::Skipped("a root file system of another architecture needs root".to_owned()));
    }
    let Some(mirror) = mirror() else {
        return Ok(Outcome::Skipped("no mirror of Debian in /etc/apt".to_owned()));
    };
    if let Err(error) = emulate() {
        return Ok(Outcome::Skipped(format!("programs of boards do not start here: {error:#}")));
    }
    let (first, next) = (Package::make(BOARD, "")?, Package::make(BOARD, "+2")?);
    let lintian = packages::find_or_install("lintian", "lintian")?;
    let mut judge = suite.command(&lintian.to_string_lossy());
    judge.args(["--fail-on", "error,warning", "--suppress-tags", NOT_JUDGED]).arg(&first.path);
    sys::check(&mut judge)?;

    let root = Root::unpack(&SYSTEM.archive(&mirror)?)?;
    installed(&root, &first)?;
    started(&root, suite.model.as_deref().context("the model stage did not pass")?)?;
    upgraded(&root, &next)?;
    purged(&root)?;
    configured(&root, &first)?;
    overlay::check(&Root::unpack(&SYSTEM.archive(&mirror)?)?)?;
    let megabytes = first.bytes as f64 / 1e6;
    Ok(Outcome::Passed(format!(
        "{megabytes:.1} MB, installed, started, upgraded and purged; a Jetson's first start"
    )))
}

/// There is the program, a user, a folder of his, manual pages, completions, and a service that is not enabled: there are no
/// settings yet.
fn installed(root: &Root, package: &Package) -> Result<()> {
    root.install(&package.path)?;
    let version = root.run(&["sprig", "--version"])?;
    ensure!(version.starts_with("sprig "), "sprig --version printed {version}");
    let owner = root.run(&["stat", "--format=%U %a", "/var/lib/sprig/agent"])?;
    ensure!(owner.trim() == "sprig 750", "/var/lib/sprig/agent is of {owner}");
    for file in [
        "usr/share/man/man1/sprig-agent.1.gz",
        "usr/share/bash-completion/completions/sprig",
        "usr/share/doc/sprig/README.Debian.gz",
        "usr/share/doc/sprig/examples/device.toml",
        "etc/sprig/boards.d",
    ] {
        let found = root.at(file).exists() || root.at(file.trim_end_matches(".gz")).exists();
        ensure!(found, "the package has no {file}");
    }
    ensure!(fs::symlink_metadata(root.at(ENABLED)).is_err(), "the agent is enabled without settings");
    let unit = "/lib/systemd/system/sprig-agent.service";
    let said = root.command(&["systemd-analyze", "verify", "--man=no", unit]).output()?;
    let problems = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.status.success() && problems.is_empty(), "systemd-analyze verify: {problems}");
    // From 0, closed off, to 10; 1.6 as it is.
    root.run(&["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]).map(drop)
}

/// The agent, as the service's user: it reads the example, and with settings of a broker that is there, data and the real model
/// it comes to it.
fn started(root: &Root, model: &Path) -> Result<()> {
    let mut example =
        root.command(&["sprig", "agent", "--config", "/usr/share/doc/sprig/examples/device.toml"]);
    let said = example.output()?;
    let said = String::from_utf8_lossy(&said.stderr);
    ensure!(said.contains("ca.crt"), "of its certificates alone the example is in want, not: {said}");

    let broker = Mosquitto::open();
    let settings = format!(
        "[fleet]\nname = \"home\"\nid = \"kitchen\"\nbroker = \"{}\"\n\
         [model]\npath = \"model.gguf\"\n[data]\ntrain = \"train.jsonl\"\n[agent]\nstay = true\n",
        broker.url()
    );
    fs::write(root.at(AGENT).join("device.toml"), settings)?;
    fs::write(root.at(AGENT).join("train.jsonl"), "{\"text\": \"Marta waters the tomatoes.\"}\n")?;
    fs::copy(model, root.at(AGENT).join("model.gguf"))?;
    root.run(&["chown", "-R", "sprig:", "/var/lib/sprig/agent"])?;
    let config = "/var/lib/sprig/agent/device.toml";
    let mut agent = Command::new("chroot");
    agent
        .arg("--userspec=sprig:sprig")
        .arg(root.path())
        .args(["sprig", "agent", "--json", "--config", config]);
    let mut agent = agent.stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(agent.stdout.take().context("no standard output")?).lines();
    let lines: Vec<String> = lines.map_while(Result::ok).take(2).collect();
    agent.kill()?;
    agent.wait()?;
    ensure!(lines.iter().any(|line| line.contains("\"connected\"")), "the agent said {lines:?}");
    Ok(())
}

/// Whoever enabled the agent and changed its settings finds both after an upgrade.
fn upgraded(root: &Root, next: &Package) -> Result<()> {
    root.run(&["systemctl", "enable", "sprig-agent"])?;
    let (changed, file) = ("SPRIG_AGENT=--log-level debug\n", root.at("etc/default/sprig-agent"));
    fs::write(&file, changed)?;
    root.install(&next.path)?;
    let version = root.run(&["dpkg-query", "--show", "--showformat=${Version}", "sprig"])?;
    ensure!(version == next.version, "{version} is installed");
    ensure!(fs::read_to_string(&file)? == changed, "an upgrade wrote over the settings of the service");
    ensure!(fs::symlink_metadata(root.at(ENABLED)).is_ok(), "an upgrade disabled the agent");
    ensure!(root.at(AGENT).join("device.toml").exists(), "an upgrade took the board's settings");
    Ok(())
}

/// Removed, what is the board's own stays; purged, nothing does.
fn purged(root: &Root) -> Result<()> {
    root.run(&["dpkg", "--remove", "sprig"])?;
    ensure!(root.at(AGENT).join("device.toml").exists(), "removing the package took the board's settings");
    root.run(&["dpkg", "--purge", "sprig"])?;
    let left = root.run(&["find", "/etc", "/usr", "/var", "/lib", "-xdev", "-name", "*sprig*"])?;
    ensure!(left.is_empty(), "after a purge there is {left}");
    Ok(())
}

/// In an image the settings are there first: the agent is enabled with the package.
fn configured(root: &Root, package: &Package) -> Result<()> {
    fs::create_dir_all(root.at(AGENT))?;
    fs::write(root.at(AGENT).join("device.toml"), "")?;
    root.install(&package.path)?;
    ensure!(fs::symlink_metadata(root.at(ENABLED)).is_ok(), "the agent has settings and is not enabled");
    Ok(())
}
