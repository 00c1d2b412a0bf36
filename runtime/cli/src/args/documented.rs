//! Commands that the README and `docs/` show: each is one that this program takes.

use super::Cli;
use clap::Parser;
use clap::error::ErrorKind;
use std::fs;
use std::path::{Path, PathBuf};

/// What a command in a shell ends before.
const ENDS: [&str; 8] = ["|", "&&", "||", ";", "&", ">", "<", "…"];

/// The README and all documents.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    found.push(root.join("README.md"));
    found
}

/// Lines of blocks of code, those that go on in the next one joined; and code within the text.
fn code(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut within, mut fenced) = (Vec::<String>::new(), Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            match lines.last_mut().and_then(|last| last.strip_suffix('\\').map(str::to_owned)) {
                Some(begun) => *lines.last_mut().unwrap() = begun + line.trim_start(),
                None => lines.push(line.to_owned()),
            }
        } else {
            within.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    (lines, within)
}

/// The words of the command of this program that a line has, from its name on.
fn command(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let begin = words.iter().position(|word| word == "sprig" || word.ends_with("/sprig"))?;
    let end = |word: &String| ENDS.iter().any(|end| word.starts_with(end)) || word.ends_with(')');
    let words: Vec<String> = words[begin..].iter().take_while(|word| !end(word)).cloned().collect();
    (words.len() > 1).then_some(words)
}

#[test]
fn commands_in_the_documents_are_taken() {
    let (mut whole, mut parts, mut wrong) = (0, 0, Vec::new());
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (lines, within) = code(&text);
        for words in lines.iter().filter_map(|line| command(line)) {
            whole += 1;
            if let Err(error) = Cli::try_parse_from(&words)
                && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
            {
                wrong.push(format!("{name}: {}: {error}", words.join(" ")));
            }
        }
        // Within a text a command is named by what matters there: no flag or command that is not there.
        let of_ours = |code: &&String| code.starts_with("sprig ") && !code.contains("COMMAND");
        for words in within.iter().filter(of_ours).filter_map(|code| command(code)) {
            parts += 1;
            if let Err(error) = Cli::try_parse_from(&words)
                && matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand)
            {
                wrong.push(format!("{name}: {}: {error}", words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(whole > 50 && parts > 50, "{whole} commands and {parts} parts of commands were found");
}

#[test]
fn a_command_is_found_in_a_line() {
    let found = |line| command(line).map(|words| words.join(" "));
    assert_eq!(found("echo x | sprig infer --prompt - # drawn"), Some("sprig infer --prompt -".to_owned()));
    assert_eq!(
        found("target/release/sprig eval --help && ls"),
        Some("target/release/sprig eval --help".to_owned())
    );
    assert_eq!(found("topic read sprig/1/home/job"), None);
    let (lines, within) = code("a `sprig plan` b\n```sh\nsprig eval \\\n   --help\n```\n");
    assert_eq!((lines, within), (vec!["sprig eval --help".to_owned()], vec!["sprig plan".to_owned()]));
}
