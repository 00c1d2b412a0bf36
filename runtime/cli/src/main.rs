//! The `sprig` binary: argument parsing, progress, printing, exit codes. Nothing else.
// A program has no outside: `pub` is between its modules.
#![allow(unreachable_pub)]

mod alone;
mod args;
mod asking;
mod commands;
mod exit;
mod files;
mod interrupt;
mod log;
mod open;
mod outage;
mod output;
mod service;
mod wardrobe;
mod worn;

use args::{Cli, Command};
use exit::{Exit, Failure};
use sprig_budget::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> std::process::ExitCode {
    sprig_run::begin(Exit::Budget as i32, "a checkpoint, if any, is kept: go on with --resume");
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    sprig_learn::setting::word_as(args::wording(&cli.command));
    end_in_order();
    let run = std::panic::AssertUnwindSafe(|| run(&cli.command));
    match std::panic::catch_unwind(run) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failure)) => {
            match log::has_begun() {
                true => log::failure(&failure),
                false => output::problem(format_args!("sprig: {failure}")),
            }
            failure.exit.into()
        }
        Err(_) => {
            output::problem(BUG);
            Exit::Bug.into()
        }
    }
}

const BUG: &str = "sprig: this is a bug in sprig; please report the lines above and the command";

/// What the standard library says as it panics in a thread for whose signal stack the system has no memory, before anything
/// of ours runs there.
const NO_STACK: &str = "failed to allocate an alternative stack";

/// Has a thread that gets no memory end the process as any refused memory does, and where a panic cannot unwind, in a board's
/// build, have any end it by its exit code.
fn end_in_order() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|text| text.starts_with(NO_STACK)) {
            alloc::refused_thread();
        }
        told(panic);
        if cfg!(panic = "abort") {
            output::problem(BUG);
            std::process::exit(Exit::Bug as i32);
        }
    }));
}

fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Plan(args) => commands::plan::run(args),
        Command::Train(args) => commands::train::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Calibrate(args) => commands::calibrate::run(args),
        Command::Classify(args) => commands::classify::run(args),
        Command::Infer(args) => commands::infer::run(args),
        Command::Chat(args) => commands::chat::run(args),
        Command::Lookalike(args) => commands::lookalike::run(args),
        Command::Personalise(args) => commands::personalise::run(args),
        Command::Serve(args) => commands::serve::run(args),
        #[cfg(feature = "coordinator")]
        Command::Export(args) => commands::handing::run(args),
        Command::Profile(args) => commands::profile::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Device(args) => commands::device::run(args),
        Command::Model(args) => commands::inspect::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Agent(args) => commands::agent::run(args),
        Command::Enrol(args) => commands::enrol::run(args),
        #[cfg(feature = "coordinator")]
        Command::Coordinate(args) => commands::coordinate::run(args),
        #[cfg(feature = "coordinator")]
        Command::Fleet(args) => commands::fleet::run(args),
        #[cfg(feature = "coordinator")]
        Command::Simulate(args) => commands::simulate::run(args),
        #[cfg(feature = "coordinator")]
        Command::Data(args) => commands::data::run(args),
        #[cfg(feature = "coordinator")]
        Command::Mcq(args) => commands::mcq::run(args),
        #[cfg(feature = "coordinator")]
        Command::Broker(args) => commands::broker::run(args),
        #[cfg(feature = "coordinator")]
        Command::Provision(args) => commands::provision::run(args),
        #[cfg(feature = "coordinator")]
        Command::Completions(args) => commands::completions::run(args),
    }
}
