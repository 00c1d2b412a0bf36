//! `cargo xtask`: the commands a developer needs, from the model download to the benchmarks.
//!
//! Everything outside this repository comes through a package manager's own client (pip, apt, cargo), so a
//! mirror or proxy configured there is respected.
// A program has no outside: `pub` is between its modules.
#![allow(unreachable_pub)]

mod arm;
mod bench;
mod boot;
mod build;
mod data;
mod deb;
mod debian;
mod demo;
mod floor;
mod image;
mod learning;
mod model;
mod packages;
mod preferring;
mod root;
mod sim;
mod sprig;
mod suite;
mod sys;
mod target;
mod toolchain;

use anyhow::Result;
use clap::{Parser, Subcommand};
use image::overlay;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Developer commands of Sprig")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch a model and print its path.
    Model(model::Args),
    /// Run the main job on real data, from the download to the report.
    Demo(demo::Args),
    /// Make a data set of the demo or the benchmarks.
    Data(data::Args),
    /// Measure speed and memory against the bars the project sets itself.
    Bench(bench::Args),
    /// Compare what estimators learn of tasks, in which time and by how many passes.
    Learn(learning::Args),
    /// Compare ways to learn preferences by how honest they leave confidence.
    Prefer(Box<preferring::Args>),
    /// Run fleets in virtual time under faults, each from a seed.
    #[command(disable_help_flag = true)]
    Sim(sim::Args),
    /// Build the program of a board, cross-compiled where it must be.
    Build(build::Args),
    /// Pack the program of a board as a Debian package, with the agent's service.
    Deb(deb::Args),
    /// Make an image to be written to a board's card: two systems, of which an update replaces one, and Sprig's state.
    Image(Box<image::Args>),
    /// Make what is laid over the root file system that is flashed onto a Jetson: it comes up as a device of its fleet.
    Overlay(overlay::Args),
    /// Start an image in the emulator: it joins a fleet, loses its power in a round, and is updated.
    Boot(boot::Args),
    /// Install what the tests need and run them all.
    Test(suite::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Model(args) => model::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Data(args) => data::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args),
        Command::Learn(args) => learning::run(&args),
        Command::Prefer(args) => preferring::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Build(args) => build::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Deb(args) => deb::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Image(args) => image::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Overlay(args) => overlay::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Boot(args) => boot::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Test(args) => suite::run(&args),
    }
}
