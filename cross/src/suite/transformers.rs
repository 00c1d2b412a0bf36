//! `transformers` and `peft` as judges: models of every family give its logits, and adapters that were exported for Python do
//! there what they do here.

use super::Suite;
use super::judge::wheels;
use super::report::Outcome;
use crate::packages::Pip;
use crate::sys;
use anyhow::Result;

/// Runs the stage. With torch it fetches some 3 GB.
pub(super) fn check(suite: &Suite) -> Result<Outcome> {
    if !suite.tools.has_nextest() {
        return Ok(Outcome::Skipped("its tests are picked by cargo-nextest".to_owned()));
    }
    let packages = sys::target_dir().join("tools/transformers");
    let pip = Pip::find()?;
    let mut there = sys::command(pip.python(), false);
    there.env("PYTHONPATH", &packages).args(["-c", "import torch, transformers, peft, gguf"]);
    if !sys::succeeds(&mut there) {
        pip.install(&wheels("transformers_logits.py")?, &packages)?;
    }
    let mut tests = suite.command("cargo");
    tests.args(["nextest", "run", "--locked", "--package", "sprig-tests", "--test", "transformers"]);
    tests.args(["--ignore-default-filter", "--run-ignored", "all"]).env("SPRIG_TRANSFORMERS", &packages);
    sys::check(&mut tests)?;
    Ok(Outcome::Passed(String::new()))
}
