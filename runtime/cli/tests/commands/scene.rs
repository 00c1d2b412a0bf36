//! A folder with a model and data, and commands run in it.

use serde_json::Value;
use sprig_engine::gguf::Synthetic;
pub use sprig_testkit::model::real_model as model;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// The folder commands run in: `tiny.gguf`, `lm.jsonl`, `label.jsonl` and `choice.jsonl` lie there.
pub struct Scene {
    folder: TempDir,
}

/// A command that ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
    line: String,
}

impl Scene {
    pub fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.model("tiny.gguf", 1);
        let lines = |make: fn(usize) -> String| (0..12).map(make).collect::<Vec<_>>().join("\n");
        scene.write(
            "lm.jsonl",
            &lines(|i| format!(r#"{{"prompt": "count {i}: ", "completion": "{i}{i}{i}"}}"#)),
        );
        scene.write(
            "label.jsonl",
            &lines(|i| {
                let label = ["down", "up"][i % 2];
                format!(r#"{{"text": "the {label} side of street {i}", "label": "{label}"}}"#)
            }),
        );
        scene.write(
            "choice.jsonl",
            &lines(|i| {
                format!(
                    r#"{{"question": "which is {i}?", "choices": ["item {i}", "none", "many"], "answer": {}}}"#,
                    i % 3
                )
            }),
        );
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Names in the folder, sorted.
    pub fn list(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// Writes a synthetic model with the weights of `seed`.
    pub fn model(&self, name: &str, seed: u64) {
        Synthetic { seed, ..Synthetic::tiny() }.write_atomic(self.path(name)).unwrap();
    }

    /// Runs `line`, split at spaces, then `more` as it is.
    pub fn run_with(&self, line: &str, more: &[&str]) -> Ran {
        let output = self.command(line).args(more).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
            line: format!("sprig {line} {}", more.join(" ")),
        };
        assert!(!ran.err.contains("panicked") && ran.code != 70 && ran.code != 101, "{}", ran.shown());
        ran
    }

    pub fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    /// Runs a command that must succeed.
    pub fn done(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran
    }

    /// Runs a command that must fail with `code` and name each of `words` on standard error.
    pub fn fails(&self, code: i32, line: &str, words: &[&str]) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{}", ran.shown());
        for word in words {
            assert!(ran.err.contains(word), "`{word}` is not in the message: {}", ran.shown());
        }
        // The parser's own errors are several lines; ours are one.
        if !ran.err.starts_with("error: ") {
            // Commands that run for long have time and level in front.
            let said = ran.err.split_once("Z ERROR ").map_or(&*ran.err, |(_, said)| said);
            assert!(
                said.starts_with("sprig: ") && ran.err.trim_end().lines().count() == 1,
                "{}",
                ran.shown()
            );
        }
        ran
    }

    /// Starts a command and hands over its standard output by line.
    pub fn start(&self, line: &str) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }

    /// A command, not yet started. Where nothing else is said, learning goes forward: what is tested of steps holds for any
    /// estimator, and this one is in every plan.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprig"));
        let mut words = line.split_whitespace();
        command.current_dir(self.folder.path()).args(words.next());
        if ["train ", "plan "].iter().any(|name| line.starts_with(name)) && !line.contains("--estimator") {
            command.args(["--estimator", "forward"]);
        }
        command.args(words);
        command
    }
}

impl Ran {
    /// The last line of standard output as JSON.
    pub fn last(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {}", self.shown()))
    }

    /// All lines of standard output as JSON.
    pub fn events(&self) -> Vec<Value> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// Everything, for the message of a failed test.
    pub fn shown(&self) -> String {
        format!("{}\n-> {}\nstdout: {}\nstderr: {}", self.line, self.code, self.out, self.err)
    }
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The keys of a JSON object.
pub fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

/// Asserts that a JSON object has every one of `wanted`.
pub fn has_keys(value: &Value, wanted: &[&str]) {
    let missing: Vec<_> = wanted.iter().filter(|k| value.get(k).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {value}");
}

/// A finite number of a JSON object.
pub fn number(value: &Value, key: &str) -> f64 {
    let number = value[key].as_f64().unwrap_or_else(|| panic!("{key} is no number: {value}"));
    assert!(number.is_finite(), "{key} = {number}");
    number
}
