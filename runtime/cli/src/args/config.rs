//! `--config`: flags of a training from a TOML file, under their own names. The command line wins.

use clap::error::ErrorKind;
use clap::{ArgAction, Command, Error};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::{Table, Value};

/// The command that takes one.
const COMMAND: &str = "train";
/// Largest file that is read.
const MOST: u64 = 64 << 10;

/// The words of a command line, with the flags of the file that `--config` names before all others of the command.
///
/// # Errors
/// The file cannot be read, or says what is no flag of the command.
pub fn with_config(command: &mut Command, words: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let Some(path) = words.get(1).filter(|word| *word == COMMAND).and_then(|_| config(&words)) else {
        return Ok(words);
    };
    let Some(train) = command.find_subcommand_mut(COMMAND) else { return Ok(words) };
    let found = read(Path::new(&path)).and_then(|table| flags(train, &words, Path::new(&path), table));
    let shown = Path::new(&path).display().to_string();
    let flags = found
        .map_err(|problem| train.error(ErrorKind::ValueValidation, format!("--config {shown}: {problem}")))?;
    let (own, given) = words.split_at(2);
    Ok(own.iter().cloned().chain(flags).chain(given.iter().cloned()).collect())
}

/// The file that was named, the last if several were.
fn config(words: &[OsString]) -> Option<OsString> {
    let named = |(i, word): (usize, &OsString)| match word.to_str() {
        Some("--config") => words.get(i + 1).cloned(),
        Some(word) => word.strip_prefix("--config=").map(OsString::from),
        None => None,
    };
    words.iter().enumerate().filter_map(named).next_back()
}

fn read(path: &Path) -> Result<Table, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
    read.map_err(|e| e.to_string())?;
    if text.len() as u64 > MOST {
        return Err(format!("it is larger than {MOST} bytes"));
    }
    text.parse::<Table>().map_err(|e| e.to_string().trim_end().to_owned())
}

/// The file as words of a command line. Paths are relative to its folder.
fn flags(train: &Command, words: &[OsString], path: &Path, table: Table) -> Result<Vec<OsString>, String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let known = |name: &str| name != "config" && name != "help" && name != "version";
    let mut flags = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let found = train.get_arguments().find(|arg| arg.get_long() == Some(&name)).filter(|_| known(&name));
        let Some(arg) = found else {
            let all: Vec<&str> =
                train.get_arguments().filter_map(|arg| arg.get_long()).filter(|n| known(n)).collect();
            return Err(format!("unknown key `{key}`; those known are the flags: {}", all.join(", ")));
        };
        // Of two that exclude each other the one that was typed counts.
        let typed =
            |other: &&clap::Arg| other.get_long().is_some_and(|name| words.iter().any(|word| is(word, name)));
        if train.get_arg_conflicts_with(arg).iter().any(typed) {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            match value {
                Value::Boolean(true) => flags.push(format!("--{name}").into()),
                Value::Boolean(false) => {}
                _ => return Err(format!("`{key}` is true or false")),
            }
            continue;
        }
        let mut text =
            text(&value).ok_or_else(|| format!("`{key}` is a text, a number or a list of them"))?;
        let is_path = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "FILE"));
        if is_path && text != "-" {
            text = folder.join(text).to_string_lossy().into_owned();
        }
        flags.push(format!("--{name}={text}").into());
    }
    Ok(flags)
}

/// Whether a word of the command line is the flag `--name`.
fn is(word: &OsStr, name: &str) -> bool {
    let flag = word.to_str().and_then(|word| word.strip_prefix("--"));
    flag.is_some_and(|flag| flag.split('=').next() == Some(name))
}

fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Array(values) => values.iter().map(text).collect::<Option<Vec<_>>>()?.join(","),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    fn words(file: &str, more: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, file).unwrap();
        let given = ["sprig", "train", "--config", path.to_str().unwrap()];
        let given = given.iter().chain(more).map(OsString::from).collect();
        let found = with_config(&mut Cli::command(), given).map_err(|e| e.to_string())?;
        let shown =
            |word: OsString| word.into_string().unwrap().replace(folder.path().to_str().unwrap(), "FOLDER");
        Ok(found.into_iter().map(shown).collect())
    }

    #[test]
    fn keys_are_flags_and_the_command_line_comes_after_them() {
        let file = "model = \"m.gguf\"\nlr = 0.02\nsteps = 30\nraw = true\nresume = false\ntargets = [\"q\", \"v\"]\neval_every = 5";
        let found = words(file, &["--epochs", "2"]).unwrap();
        let wanted = [
            "sprig",
            "train",
            "--eval-every=5",
            "--lr=0.02",
            "--model=FOLDER/m.gguf",
            "--raw",
            "--targets=q,v",
            "--config",
            "FOLDER/run.toml",
            "--epochs",
            "2",
        ];
        let sorted = |words: &[String]| {
            let mut flags = words[2..words.len() - 4].to_vec();
            flags.sort();
            flags
        };
        let wanted: Vec<String> = wanted.map(str::to_owned).to_vec();
        assert_eq!(sorted(&found), sorted(&wanted));
        assert_eq!((&found[..2], &found[found.len() - 4..]), (&wanted[..2], &wanted[7..]));
    }

    #[test]
    fn what_is_no_flag_is_refused_by_name() {
        for (file, part) in [
            ("learning = 1", "unknown key `learning`"),
            ("config = \"other.toml\"", "unknown key `config`"),
            ("raw = 1", "`raw` is true or false"),
            ("lr = { a = 1 }", "`lr` is a text"),
            ("lr = ", "TOML"),
        ] {
            let refused = words(file, &[]).unwrap_err();
            assert!(refused.contains(part) && refused.contains("run.toml"), "{refused}");
        }
        assert!(words("learning = 1", &[]).unwrap_err().contains("eval-every, "));
    }
}
