//! Stages: timed, announced, collected into a table.

use crate::sys;
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

/// How a stage ended, when it did not fail.
pub enum Outcome {
    /// It ran and found nothing wrong; the note may be empty.
    Passed(String),
    /// It cannot run on this machine, with the reason.
    Skipped(String),
}

/// Stages that may be skipped even under `CI`, because what they need is not a package.
const MAY_BE_SKIPPED: &[&str] = &["advisories", "armv7 board", "package"];

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

#[derive(Serialize)]
struct Row {
    stage: String,
    verdict: Verdict,
    seconds: f64,
    note: String,
}

/// Less free bytes than this are a full disk: copies of a model and what a linker writes take more.
const FULL: u64 = 1 << 30;

/// The stages run so far.
pub struct Report {
    only: Option<String>,
    /// Under `CI` a skipped stage counts as failed unless it is in `MAY_BE_SKIPPED`.
    strict: bool,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report that runs only stages whose name contains `only`.
    pub fn new(only: Option<String>) -> Self {
        let strict = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        Self { only, strict, rows: Vec::new() }
    }

    /// Runs a stage, unless it was not asked for.
    pub fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) {
        if self.wants(name) {
            self.needed(name, work);
        }
    }

    /// Runs a stage in any case. Returns whether it passed.
    pub fn needed(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let (verdict, note) = match work() {
            Ok(Outcome::Passed(note)) => (Verdict::Passed, note),
            Ok(Outcome::Skipped(why)) if self.strict && !MAY_BE_SKIPPED.contains(&name) => {
                (Verdict::Failed, format!("cannot be skipped under CI: {why}"))
            }
            Ok(Outcome::Skipped(why)) => (Verdict::Skipped, why),
            Err(error) => {
                let full = if is_full() { "the disk is full; " } else { "" };
                (Verdict::Failed, format!("{full}{error:#}"))
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("==> {name}: {} in {seconds:.1} s {note}", verdict.word());
        self.rows.push(Row { stage: name.to_owned(), verdict, seconds, note });
        verdict == Verdict::Passed
    }

    /// Whether a stage of this name was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Prints the table and turns it into an exit code.
    pub fn finish(self, json: bool) -> ExitCode {
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let (passed, failed, skipped) =
            (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped));
        let table = self.table();
        if json {
            let rows = &self.rows;
            println!(
                "{}",
                serde_json::json!({ "passed": passed, "failed": failed, "skipped": skipped, "stages": rows })
            );
            eprint!("\n{table}");
        } else {
            print!("\n{table}");
            println!("stages: {passed} passed, {failed} failed, {skipped} skipped");
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.stage.len()).max().unwrap_or(0);
        let mut table = String::new();
        for Row { stage, verdict, seconds, note } in &self.rows {
            // A failure's full text was printed when it happened; the table keeps its first line.
            let note = note.lines().next().unwrap_or("");
            let word = verdict.word();
            table.push_str(format!("{stage:width$}  {word:7}  {seconds:7.1} s  {note}").trim_end());
            table.push('\n');
        }
        table
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }
}

fn is_full() -> bool {
    sys::free_bytes(&sys::target_dir()).is_some_and(|free| free < FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(strict: bool, only: Option<&str>) -> Report {
        Report { only: only.map(str::to_owned), strict, rows: Vec::new() }
    }

    fn skip() -> Result<Outcome> {
        Ok(Outcome::Skipped("no emulator".into()))
    }

    #[test]
    fn a_skip_fails_only_under_ci_and_outside_the_list() {
        let mut relaxed = report(false, None);
        relaxed.stage("aarch64", skip);
        assert_eq!(relaxed.rows[0].verdict, Verdict::Skipped);
        let mut strict = report(true, None);
        strict.stage("aarch64", skip);
        strict.stage("advisories", skip);
        assert_eq!(strict.rows[0].verdict, Verdict::Failed);
        assert_eq!(strict.rows[1].verdict, Verdict::Skipped);
    }

    #[test]
    fn a_failed_stage_keeps_the_others_running_and_its_reason() {
        let mut report = report(false, None);
        report.stage("one", || anyhow::bail!("broken\nin detail"));
        report.stage("two", || Ok(Outcome::Passed(String::new())));
        assert_eq!(report.rows[0].verdict, Verdict::Failed);
        assert_eq!(report.rows[1].verdict, Verdict::Passed);
        let table = report.table();
        assert!(
            table.contains("FAILED") && table.contains("broken") && !table.contains("in detail"),
            "{table}"
        );
    }

    #[test]
    fn only_selects_by_name() {
        let mut report = report(false, Some("arch"));
        report.stage("aarch64 build", || Ok(Outcome::Passed(String::new())));
        report.stage("lints", || panic!("not asked for"));
        assert_eq!(report.rows.len(), 1);
    }
}
