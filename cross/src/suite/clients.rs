//! OpenAI's own client as a judge of `sprig serve`: what it gets, whole and in pieces, what it is refused, and what becomes of
//! others while one reads nothing and one goes away.

use super::Suite;
use super::judge::{first, wheels};
use super::report::Outcome;
use crate::packages::Pip;
use crate::sprig::{Sprig, flags};
use crate::{build, data, sys};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

/// What names the client's version, and asks.
const SCRIPT: &str = "openai_client.py";
/// Texts that the adapter with labels is learnt from.
const EXAMPLES: usize = 40;
/// What is served within: model, adapter, doors, and room for a slow machine's pages.
const BUDGET: &str = "300MiB";

/// Runs the stage.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    let (pip, packages) = (Pip::find()?, sys::target_dir().join("tools/openai"));
    let script = sys::workspace_root().join("tests/compat").join(SCRIPT);
    let client = |more: &[&str]| {
        let mut command = sys::command(pip.python(), false);
        command.env("PYTHONPATH", &packages).args(more);
        command
    };
    if !sys::succeeds(&mut client(&["-c", "import openai"]))
        && let Err(why) = pip.install(&wheels(SCRIPT)?, &packages)
    {
        return Ok(Outcome::Skipped(format!("no OpenAI client: {why:#}")));
    }
    let model = suite.model.as_deref().context("the model stage did not pass")?;
    sys::check(build::plan(&mut suite.command("cargo")))?;
    let sprig = Sprig::at(sys::target_dir().join("dist/sprig"));
    let folder = tempfile::tempdir()?;
    let adapter = labels(&sprig, model, folder.path())?;
    let mut words = vec!["serve".to_owned(), "--json".to_owned()];
    words.extend(flags(&[
        ("model", &model.to_string_lossy()),
        ("adapter", &format!("labels={adapter}")),
        ("listen", "127.0.0.1:0"),
        ("budget", BUDGET),
        ("queue", "16"),
        ("rate", "100000"),
    ]));
    let mut serving = Serving(sprig.command(&words).stdout(Stdio::piped()).spawn()?);
    let mut lines =
        BufReader::new(serving.0.stdout.take().context("no output")?).lines().map_while(Result::ok);
    let event = lines
        .by_ref()
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(|event| event["event"] == "serving")
        .context("sprig serve ended before it served")?;
    // What it says on would fill the pipe.
    thread::spawn(move || lines.for_each(drop));
    let (address, name) = (event["listen"].as_str(), event["models"][1].as_str());
    let address = address.context("no address")?;
    let mut ask = client(&[]);
    ask.arg(script).args([&format!("http://{address}/v1"), name.context("no model")?, "labels"]);
    let seen: Value = serde_json::from_str(&sys::output(&mut ask)?).context("what the client printed")?;
    ensure!(seen["peak_bytes"].as_f64() <= seen["budget_bytes"].as_f64(), "the budget was passed: {seen}");
    let peak = seen["peak_bytes"].as_f64().unwrap_or_default() / f64::from(1 << 20);
    Ok(Outcome::Passed(format!("ten clients in {} s, peak {peak:.0} of {BUDGET}", seen["ten_clients_s"])))
}

/// A server, ended with the stage.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Learns an adapter with labels; its path.
fn labels(sprig: &Sprig, model: &Path, folder: &Path) -> Result<String> {
    let files = data::write(data::Name::Where, Some(folder), 1)?;
    let (train, out) = (first(&files.train, EXAMPLES)?, folder.join("labels.gguf"));
    let out = out.to_string_lossy().into_owned();
    let words = flags(&[
        ("task", "label"),
        ("estimator", "readout"),
        ("labels", &files.labels.join(",")),
        ("budget", "300MiB"),
        ("model", &model.to_string_lossy()),
        ("data", &train.to_string_lossy()),
        ("out", &out),
    ]);
    sprig.train(&words, |_| ())?;
    Ok(out)
}
