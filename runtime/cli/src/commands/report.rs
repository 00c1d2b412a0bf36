//! `sprig report`: a run's record as one HTML page.

use crate::args::ReportArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files};
use crate::output::line;
use sprig_ground::file;
use sprig_report::{RunRecord, training};

pub fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    let (run, out) = (args.run.as_path(), args.out.as_path());
    Files::new().reads("the record", run).writes("--out", out, Content::Page).check()?;
    let record = RunRecord::read(&args.run)?;
    let page = training(&record);
    file::write(&args.out, page.as_bytes())?;
    if args.json {
        line(serde_json::json!({ "event": "report", "out": args.out, "bytes": page.len() }))?;
    } else {
        line(format_args!("wrote {}", args.out.display()))?;
    }
    Ok(Exit::Done)
}
