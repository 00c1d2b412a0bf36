//! Whether a run goes on under the settings that it began with: by what they mean, whoever wrote them down.

use sprig_protocol::settings::JobSettings;

/// The first difference between the settings of a ledger and those of now; `None` where they mean the same. What a text
/// leaves out has its default, so that a program with more settings goes on with the runs of one with fewer.
pub(super) fn difference(theirs: &str, ours: &str) -> Option<String> {
    if theirs == ours {
        return None;
    }
    match (JobSettings::from_text(theirs), JobSettings::from_text(ours)) {
        (Ok(theirs), Ok(ours)) if theirs == ours => None,
        // As this program would write both.
        (Ok(theirs), Ok(ours)) => Some(line(&theirs.to_text(), &ours.to_text())),
        // A later program's, perhaps.
        (Err(unknown), Ok(_)) => Some(format!("what this program does not know of: {unknown}")),
        (_, Err(_)) => Some(line(theirs, ours)),
    }
}

/// The first line in which two texts differ.
fn line(theirs: &str, ours: &str) -> String {
    let (mut theirs, mut ours) = (theirs.lines(), ours.lines());
    loop {
        match (theirs.next(), ours.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return "in white space".into(),
            (a, b) => {
                return format!("there `{}`, here `{}`", a.unwrap_or("").trim(), b.unwrap_or("").trim());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "model = \"ab\"\n[train]\nlabels = [\"a\", \"b\"]\nlr = 1.0\nbatch = 8\n";

    #[test]
    fn settings_are_compared_by_what_they_mean() {
        let differs = |theirs: &str| difference(theirs, OURS);
        assert_eq!(differs(OURS), None);
        // In another order, with a default written out, with a number written otherwise.
        let same = "model = \"ab\"\n[train]\nbatch = 8\nlr = 1.00\nraw = false\nlabels = [\"a\", \"b\"]\n";
        assert_eq!(differs(same), None);
        let other = differs(&OURS.replace("lr = 1.0", "lr = 2.0")).unwrap();
        assert_eq!(other, "there `lr = 2.0`, here `lr = 1.0`");
        let later = differs(&format!("{OURS}colour = \"red\"\n")).unwrap();
        assert!(later.contains("colour") && later.contains("does not know"), "{later}");
        assert_eq!(difference("x = 1", "x = 2").unwrap(), "there `x = 1`, here `x = 2`");
    }
}
