//! What a board gets: `sprig` without the coordinator's side, as it ships. Built, weighed, and made to train.

use super::Suite;
use super::report::Outcome;
use crate::build::{self, BAR, Built};
use crate::sys;
use crate::target::Target;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the training step below is given. Resident, the model's weights alone are 94 MiB: they have to be streamed.
const BUDGET: &str = "24MiB";
/// Tokens of an example: all of a record as it stands. Under the emulator a token takes a second, and a chat's frame is thirty.
const LEN: &str = "12";

/// The build of this machine's own architecture.
pub(super) fn host(suite: &Suite) -> Result<Outcome> {
    check(suite, &build::make(Target::X86_64, false)?, &[])
}

/// Runs the binary behind the words of `runner`: it says which board this is, has no command that is
/// a coordinator's, trains a step of the real model within a quarter of the model's size, derives a personal state beside the
/// result, answers with it, and serves it.
pub(super) fn check(suite: &Suite, built: &Built, runner: &[String]) -> Result<Outcome> {
    let sprig = |arguments: &[&str]| sprig(suite, built, runner, arguments);
    let board: Value = serde_json::from_str(&sys::output(&mut sprig(&["device", "--json"]))?)
        .context("sprig device --json prints no JSON")?;
    ensure!(board.is_object(), "sprig device --json prints {board}");
    ensure!(!sys::succeeds(&mut sprig(&["coordinate", "--help"])), "a board build has `sprig coordinate`");

    let folder = tempfile::tempdir()?;
    let (data, out) = (folder.path().join("adapter.jsonl"), folder.path().join("adapter.gguf"));
    let model = suite.model.as_deref().context("the model stage did not pass")?;
    // An emulator's own memory is in the peak that the process sees.
    let held = |done: &Value| {
        let (peak, budget) = (done["peak_rss_bytes"].as_u64(), done["budget_bytes"].as_u64());
        let (peak, budget) = (peak.context("no peak_rss_bytes")?, budget.context("no budget_bytes")?);
        ensure!(!runner.is_empty() || peak <= budget, "the board build held {peak} of {budget} bytes");
        Ok(())
    };

    held(&step(suite, built, runner, &[], &out)?)?;

    let personal = folder.path().join("personal.sprig");
    let mut derive = sprig(&["personalise", "--task", "lm", "--raw", "--batch", "2", "--len", LEN, "--json"]);
    derive.args(["--local-epochs", "1", "--shared-epochs", "1", "--budget", BUDGET, "--model"]).arg(model);
    derive.arg("--data").arg(&data).arg("--adapter").arg(&out).arg("--out").arg(&personal);
    let done = last(&mut derive)?;
    ensure!(done["form"] == "flow" && personal.is_file(), "sprig personalise ended with {done}");
    held(&done)?;

    let mut ask = sprig(&["infer", "--raw", "--prompt", "Who?", "--max-tokens", "2", "--json", "--model"]);
    let said = last(ask.arg(model).arg("--personal").arg(&personal))?;
    let gates = said["gates"].as_array().map_or(0, Vec::len);
    ensure!(gates > 0, "sprig infer --personal printed {said}");

    let socket = folder.path().join("door");
    let mut serve = sprig(&["serve", "--exact", "--context", "64", "--budget", BUDGET, "--json", "--model"]);
    serve.arg(model).arg("--personal").arg(&personal).arg("--socket").arg(&socket);
    let served = ask_at(&mut serve, &socket, r#"{"prompt": "Who?", "raw": true, "max_tokens": 2}"#)?;
    let same = last(
        sprig(&["infer", "--exact", "--raw", "--prompt", "Who?", "--max-tokens", "2", "--json", "--model"])
            .arg(model)
            .arg("--personal")
            .arg(&personal),
    )?;
    ensure!(
        served["text"] == same["text"] && served["gates"] == same["gates"],
        "serve: {served}, infer: {same}"
    );
    let (size, glibc) = (built.bytes as f64 / 1e6, &built.glibc);
    Ok(Outcome::Passed(format!("{size:.1} MB of {} MB, glibc {glibc}", BAR / 1_000_000)))
}

/// Trains a step of the real model, whose adapter goes to `out`, on records beside it; the last line that it prints.
fn step(suite: &Suite, built: &Built, runner: &[String], arguments: &[&str], out: &Path) -> Result<Value> {
    let data = out.with_extension("jsonl");
    write_data(&data)?;
    let model = suite.model.as_deref().context("the model stage did not pass")?;
    let all = ["train", "--task", "lm", "--raw", "--steps", "1", "--batch", "1", "--len", LEN, "--json"];
    let mut train = sprig(suite, built, runner, &all);
    train.args(["--budget", BUDGET, "--model"]).arg(model).arg("--data").arg(&data).arg("--out").arg(out);
    let done = last(train.args(arguments))?;
    ensure!(done["event"] == "done" && out.is_file(), "sprig train ended with {done}");
    Ok(done)
}

/// SHA-256 of the adapter that a step by this estimator ends in.
pub(super) fn adapter(suite: &Suite, built: &Built, runner: &[String], estimator: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("adapter.gguf");
    step(suite, built, runner, &["--estimator", estimator], &out)?;
    sys::sha256(&out)
}

/// The binary behind the words of `runner`.
fn sprig(suite: &Suite, built: &Built, runner: &[String], arguments: &[&str]) -> Command {
    let words: Vec<&Path> = runner.iter().map(Path::new).chain([built.path.as_path()]).collect();
    let mut command = suite.command(&words[0].to_string_lossy());
    command.args(&words[1..]).args(arguments);
    command
}

fn write_data(path: &Path) -> Result<()> {
    let records = ["Marta does.", "Nobody.", "The rain.", "Ask Ada."];
    let record = |answer: &str| {
        format!("{{\"prompt\": \"Who waters the tomatoes?\", \"completion\": \"{answer}\"}}\n")
    };
    Ok(std::fs::write(path, records.map(record).concat())?)
}

/// Starts a server, asks it at its `socket`, and ends it.
fn ask_at(serve: &mut Command, socket: &Path, question: &str) -> Result<Value> {
    let mut child = serve.stdout(Stdio::piped()).spawn().context("cannot start sprig serve")?;
    let printed = BufReader::new(child.stdout.take().context("no output of sprig serve")?).lines();
    let serving = printed.map_while(Result::ok).any(|line| line.contains("\"serving\""));
    let asked = || -> Result<Value> {
        ensure!(serving, "sprig serve ended before it answered");
        let mut stream = UnixStream::connect(socket)?;
        let length = question.len();
        write!(
            stream,
            "POST /v1/answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{question}"
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (_, body) =
            reply.split_once("\r\n\r\n").with_context(|| format!("sprig serve said {reply:?}"))?;
        serde_json::from_str(body).with_context(|| format!("sprig serve said {body:?}"))
    };
    let answer = asked();
    child.kill()?;
    child.wait()?;
    answer
}

/// The last line of what a command prints, which is JSON.
fn last(command: &mut Command) -> Result<Value> {
    let printed = sys::output(command)?;
    let line = printed.lines().last().with_context(|| format!("{command:?} prints nothing"))?;
    serde_json::from_str(line).with_context(|| format!("{command:?} printed {line:?}"))
}
