//! `sprig doctor`: whether this board can take part in its fleet, and who must act where it cannot.

mod checks;

use crate::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::output::line;
use checks::Patient;
use serde::Serialize;

/// What a check found.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// The board works, and something is less than it could be.
    Warning,
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// What a check that went well says, or what is less than it could be; an error is what is bad.
type Said = Result<(State, String), Failure>;

pub fn run(args: &DoctorArgs) -> Result<Exit, Failure> {
    let (mut findings, mut exit) = (Vec::new(), Exit::Done);
    let mut patient = Patient::new(args);
    for (check, look) in checks::ALL {
        let Some(said) = look(&mut patient) else { continue };
        let (state, text) = match said {
            Ok(said) => said,
            Err(failure) => {
                // The first is what the rest may come from.
                exit = if exit == Exit::Done { failure.exit } else { exit };
                (State::Bad, failure.to_string())
            }
        };
        if !args.json {
            line(format_args!("{check:10} {:8} {text}", state.word()))?;
        }
        findings.push(Finding { check, state, text });
    }
    if args.json {
        line(serde_json::json!({ "healthy": exit == Exit::Done, "checks": findings }))?;
    }
    Ok(exit)
}
