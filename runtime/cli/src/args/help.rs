//! What help shows beside flags: commands in groups, and an example of every command.

use clap::Command;
use std::fmt::Write;

/// The commands by what they are for, in the order in which they are met.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Before learning", &["device", "doctor", "model", "data", "plan", "profile"]),
    ("Learning", &["train", "lookalike", "personalise"]),
    ("Judging", &["eval", "calibrate", "report"]),
    ("Answering", &["classify", "infer", "chat", "serve", "export"]),
    ("A fleet", &["provision", "coordinate", "fleet", "agent", "enrol", "broker", "simulate"]),
    ("Else", &["mcq", "completions"]),
];

/// Commands by their names below the program's, and what each may be called with.
const EXAMPLES: [(&str, &str); 45] = [
    ("device", "--model model.gguf"),
    ("doctor", "--config device.toml"),
    ("model inspect", "model.gguf"),
    ("data check", "mine.csv --text-column sentence --label-column intent --model model.gguf"),
    ("plan", "--model model.gguf --task label --data train.jsonl --budget 200MiB"),
    ("profile", "--model model.gguf --budget 200MiB --sweep --out board.json"),
    ("train", "--model model.gguf --task label --data train.jsonl --split 10% --budget 200MiB"),
    ("lookalike", "--model model.gguf --families FADD,SUB0 --cycles 2 --budget 600MiB"),
    (
        "personalise",
        "--model model.gguf --adapter adapter.gguf --task label --data own.jsonl --out personal.sprig",
    ),
    ("eval", "--model model.gguf --adapter adapter.gguf --task label --data held_out.jsonl"),
    ("calibrate", "--model model.gguf --adapter adapter.gguf --task label --data held_out.jsonl"),
    ("report", "adapter.gguf.run.json -o run.html"),
    ("report diff", "board.json other.json"),
    ("classify", "--model model.gguf --adapter adapter.gguf --text \"the battery lasts two days\""),
    ("infer", "--model model.gguf --prompt \"Name a bird.\" --max-tokens 40"),
    ("chat", "--model model.gguf --adapter adapter.gguf"),
    ("serve", "--model model.gguf --adapter where=adapter.gguf --listen 127.0.0.1:8080"),
    ("export", "--model model.gguf --adapter adapter.gguf --merge --out merged.gguf"),
    ("provision", "--out fleet --fleet home --host broker.lan --devices kitchen,garden"),
    ("coordinate", "--config fleet.toml"),
    ("agent", "--config device.toml"),
    ("enrol", "--id kitchen --dir /etc/sprig"),
    ("broker", "--listen 127.0.0.1:1883"),
    ("simulate", "--devices 20 --config fleet.toml --data train.jsonl"),
    ("fleet status", "--config fleet.toml"),
    ("fleet devices", "--config fleet.toml"),
    ("fleet quarantine", "kitchen"),
    ("fleet allow", "kitchen"),
    ("fleet replace", "kitchen"),
    ("fleet remove", "kitchen"),
    ("fleet pause", "--config fleet.toml"),
    ("fleet resume", "--config fleet.toml"),
    ("fleet take-over", "--config fleet.toml"),
    ("fleet history", "--json"),
    ("fleet coverage", "--config fleet.toml"),
    ("fleet export", "--out adapter.gguf"),
    ("fleet requests", "--authority fleet"),
    ("fleet approve", "kitchen.csr"),
    ("fleet reject", "kitchen"),
    ("fleet revoke", "kitchen"),
    ("fleet certificates", "--json"),
    ("fleet backup", "--out ledger.copy"),
    ("fleet restore", "ledger.copy"),
    ("mcq generate", "--family FADD,SUB0 --n 100 --seed 7 --out items.jsonl"),
    ("completions", "bash"),
];

/// `command` with its commands in groups, and an example in the help of each.
pub fn helped(command: Command) -> Command {
    let groups = groups(&command);
    let template = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}";
    exemplified(command, "").help_template(template).before_help(groups)
}

/// The groups as help shows them, without commands that this build lacks.
fn groups(command: &Command) -> String {
    let mut shown = String::new();
    for (group, names) in GROUPS {
        let _ = writeln!(shown, "{group}:");
        for found in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = found.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(shown, "  {:<12} {about}", found.get_name());
        }
        shown.push('\n');
    }
    shown.trim_end().to_owned()
}

/// `command`, whose name below the program's is `name`, and all below it with their examples.
fn exemplified(command: Command, name: &str) -> Command {
    let example = EXAMPLES.iter().find(|(of, _)| *of == name);
    let below = |command: Command| {
        let name = format!("{name} {}", command.get_name());
        exemplified(command, name.trim_start())
    };
    let command = command.mut_subcommands(below);
    match example {
        Some((name, words)) => command.after_help(format!("Example:\n  sprig {name} {words}")),
        None => command,
    }
}

#[cfg(all(test, feature = "coordinator"))]
#[allow(clippy::unwrap_used, reason = "tests; the lint knows those behind a plain `cfg(test)` alone")]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::{CommandFactory, Parser};

    /// Columns of the narrowest terminal in which the groups stand in lines of their own.
    const COLUMNS: usize = 80;

    #[test]
    fn every_command_is_in_one_group_and_has_an_example_that_it_takes() {
        let mut command = helped(Cli::command());
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut all: Vec<_> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
        for (name, words) in EXAMPLES {
            let line = shlex::split(&format!("sprig {name} {words}")).unwrap();
            assert!(Cli::try_parse_from(&line).is_ok(), "{}", line.join(" "));
        }
        let help = command.render_help().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= COLUMNS), "{help}");
        assert!(help.contains("\nLearning:\n  train        Train an adapter"), "{help}");
        without_example(&command, "");
    }

    fn without_example(command: &Command, name: &str) {
        if command.get_subcommands().all(|c| c.get_name() == "help") {
            let help = command.clone().render_help().to_string();
            assert!(help.contains(&format!("Example:\n  sprig {name}")), "{name} has no example");
        }
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            without_example(below, format!("{name} {}", below.get_name()).trim_start());
        }
    }
}
