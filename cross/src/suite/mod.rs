//! `cargo xtask test`: install what the tests need, run every stage, end with a table.

mod aarch64;
mod armv7;
mod board;
mod clients;
mod disk;
mod image;
mod judge;
mod minimum;
mod overlay;
mod package;
mod pages;
mod report;
mod tools;
mod transformers;

use crate::{model, packages, sys};
use anyhow::Result;
use report::{Outcome, Report};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Places that tests take, for each core; `.config/nextest.toml` says how many a test takes.
const PLACES: usize = 3;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Formatting, lints and the tests of this machine only: no documentation tests, supply chain, emulator
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Also the tests marked `#[ignore]`: minutes to hours each
    #[arg(long)]
    long: bool,
    /// Run only the stages whose name contains this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print the table as one JSON object on standard output; what the stages print goes to standard error
    #[arg(long)]
    json: bool,
}

/// What the stages share.
struct Suite {
    json: bool,
    long: bool,
    tools: tools::Tools,
    model: Option<PathBuf>,
}

/// Runs the command. Fails when a stage failed, and under `CI` also when one was skipped that should not be.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut suite = Suite { json: args.json, long: args.long, tools: tools::Tools::new(), model: None };
    let mut report = Report::new(args.only.clone());

    report.needed("disk", disk::check);
    report.stage("format", || suite.cargo(&["fmt", "--all", "--check"]));
    report.stage("lints", || {
        suite.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])
    });
    // Not subject to --only: the stages after it need what it finds.
    report.needed("model", || {
        let found = model::fetch("smollm2")?;
        suite.model = Some(found.path);
        Ok(Outcome::Passed(if found.fetched { "downloaded" } else { "present" }.to_owned()))
    });
    report.needed("test runner", || suite.tools.install_nextest());
    report.needed("broker and browser", services);
    report.stage("tests", || suite.tests());
    if !args.quick {
        report.stage("board build", || board::host(&suite));
        report.stage("stock llama.cpp", || judge::check(&suite));
        report.stage("OpenAI client", || clients::check(&suite));
        report.stage("minimum Rust", || minimum::check(&suite));
        report.stage("documentation tests", || suite.cargo(&["test", "--doc", "--workspace", "--locked"]));
        report.stage("supply chain", || suite.supply_chain());
        report.stage("advisories", || suite.advisories());
        aarch64::stages(&mut report, &suite);
        report.stage("package", || package::check(&suite));
        if suite.long {
            report.stage("transformers", || transformers::check(&suite));
            report.stage("armv7 board", || armv7::check(&suite));
            report.stage("image", || image::check("generic-aarch64", true));
            report.stage("image raspberry-pi-3b", || image::check("raspberry-pi-3b", false));
        }
    }
    Ok(report.finish(args.json))
}

/// What the tests of a fleet talk to: the broker of the distribution, its clients, certificates' command line, and a
/// browser that shows the dashboard.
fn services() -> Result<Outcome> {
    let wanted = [
        ("mosquitto", "mosquitto"),
        ("mosquitto_pub", "mosquitto-clients"),
        ("openssl", "openssl"),
        ("chromium", "chromium"),
    ];
    let missing = wanted.iter().filter(|(program, _)| packages::find(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(Outcome::Passed("present".to_owned()));
    }
    packages::apt_install(&missing)?;
    Ok(Outcome::Passed(format!("installed {}", missing.join(", "))))
}

impl Suite {
    /// A command whose tests find the model, with the tools we installed in its path.
    fn command(&self, program: &str) -> Command {
        let mut command = sys::command(program, self.json);
        command.env("PATH", self.tools.path());
        if let Some(model) = &self.model {
            command.env("SPRIG_MODEL", model);
        }
        command
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Outcome> {
        sys::check(self.command("cargo").args(arguments))?;
        Ok(Outcome::Passed(String::new()))
    }

    fn tests(&self) -> Result<Outcome> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let places = (PLACES * cores).to_string();
        let mut arguments = vec!["test", "--workspace", "--all-targets", "--locked"];
        if self.tools.has_nextest() {
            arguments = vec!["nextest", "run", "--workspace", "--all-targets", "--locked", "--no-fail-fast"];
            arguments.extend(["--profile", "suite", "--test-threads", &places]);
            if self.long {
                arguments.extend(["--run-ignored", "all"]);
            }
        } else if self.long {
            arguments.extend(["--", "--include-ignored"]);
        }
        self.cargo(&arguments)
    }

    /// Licences, banned crates and sources need the crates of every target, and nothing else from outside.
    fn supply_chain(&mut self) -> Result<Outcome> {
        if let Some(reason) = self.tools.install_deny() {
            return Ok(Outcome::Skipped(reason));
        }
        self.cargo(&["fetch", "--locked"])?;
        self.cargo(&["deny", "--offline", "--locked", "check", "licenses", "bans", "sources"])
    }

    /// Known vulnerabilities: the database is a git repository that not every machine reaches, so only a
    /// copy that is already here is asked.
    fn advisories(&self) -> Result<Outcome> {
        let Some(database) = tools::advisory_database() else {
            return Ok(Outcome::Skipped(
                "no local advisory database; `cargo deny fetch db` makes one".into(),
            ));
        };
        eprintln!("advisories from {}", database.display());
        self.cargo(&["deny", "--offline", "--locked", "check", "advisories"])
    }
}
