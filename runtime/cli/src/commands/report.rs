//! `sprig report`: a run's record or a profile as one HTML page, and what differs between two of them.

use crate::args::{Between, DiffArgs, ReportArgs};
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files};
use crate::output::line;
use sprig_ground::file;
use sprig_report::{Diff, Document, profile_page, training};

pub fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    if let Some(Between::Diff(args)) = &args.between {
        return diff(args);
    }
    let out = args.out.as_path();
    let Some(record) = args.run.as_deref() else {
        return Err(Failure::new(Exit::Usage, "name the record of a run or a profile"));
    };
    Files::new().reads("the record", record).writes("--out", out, Content::Page).check()?;
    let page = match Document::read(record)? {
        Document::Run(run) => training(&run),
        Document::Profile(profile) => profile_page(&profile),
    };
    file::write(out, page.as_bytes())?;
    if args.json {
        line(serde_json::json!({ "event": "report", "out": args.out, "bytes": page.len() }))?;
    } else {
        line(format_args!("wrote {}", out.display()))?;
    }
    Ok(Exit::Done)
}

fn diff(args: &DiffArgs) -> Result<Exit, Failure> {
    let diff = match (Document::read(&args.a)?, Document::read(&args.b)?) {
        (Document::Profile(a), Document::Profile(b)) => Diff::profiles(&a, &b),
        (Document::Run(a), Document::Run(b)) => Diff::runs(&a, &b),
        (a, b) => {
            let message = format!(
                "{} is {} and {} is {}; compare two of one kind",
                args.a.display(),
                a.kind(),
                args.b.display(),
                b.kind()
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    if args.json {
        let mut event = serde_json::to_value(&diff).map_err(|e| Failure::new(Exit::Bug, e))?;
        event["event"] = "diff".into();
        event["step_ratio"] = diff.mean_step_ratio().into();
        line(event)?;
    } else {
        line(&diff)?;
    }
    Ok(Exit::Done)
}
