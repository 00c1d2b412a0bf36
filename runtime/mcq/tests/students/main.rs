//! The error functions against algebra steps of real students (CogTutorBugs, CC BY 4.0). The file is not part of this
//! repository: `SPRIG_SHARED_DATA` names the folder that holds `cogtutor_bugs/`; without it there is nothing to check.
#![allow(clippy::unwrap_used)]

mod steps;

use sprig_mcq::{Code, Operation, Stem, apply};
use std::path::PathBuf;
use steps::{Exact, Step, steps};

/// Steps whose label is `label` and whose one changed side is numeric before and after.
fn labelled(label: &str) -> Option<Vec<Step>> {
    let Some(folder) = std::env::var_os("SPRIG_SHARED_DATA") else {
        println!("SPRIG_SHARED_DATA is not set: no steps of students are checked");
        return None;
    };
    let path = PathBuf::from(folder).join("cogtutor_bugs/bug_full_5339.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(steps(&text, label))
}

fn count(steps: &[Step], holds: impl Fn(&Step) -> bool) -> usize {
    steps.iter().filter(|step| holds(step)).count()
}

#[test]
fn steps_of_lost_signs_are_minus_the_right_value() {
    for (label, all, minus, exactly) in [
        ("DIVIDE_MULTIPLY_OPP_SIGNS", 293, 293, 184),
        // The other one is written `2 1/2` for 15 / -6, which is read here as 21/2.
        ("CHECK_SIGN", 193, 192, 161),
        ("FORGOT_NEGATIVE", 28, 28, 28),
    ] {
        let Some(steps) = labelled(label) else { return };
        let found = count(&steps, |step| step.after.is_minus(step.before, step.places));
        let digits = count(&steps, |step| step.before.minus() == step.after);
        println!("{label}: {found} of {}, {digits} of them to the last digit", steps.len());
        assert_eq!((steps.len(), found, digits), (all, minus, exactly), "{label}");
    }
}

/// A side that is one product or quotient of two integers of opposite signs, as a stem.
fn signed(step: &Step) -> Option<Stem> {
    let plain: String = step.text.chars().filter(|c| !"() ".contains(*c)).collect();
    let at = plain.find(['*', '/'])?;
    let operation = if plain.as_bytes()[at] == b'*' { Operation::Multiply } else { Operation::Divide };
    let (a, b) = (plain[..at].parse().ok()?, plain[at + 1..].parse().ok()?);
    Some(Stem::Signed { operation, a, b }).filter(|_| i64::signum(a) * i64::signum(b) < 0)
}

/// A side -a + b of integers, as a stem.
fn sum(step: &Step) -> Option<Stem> {
    let (a, b) = step.text.strip_prefix('-')?.split_once('+')?;
    let a: i64 = a.parse().ok()?;
    Some(Stem::Signed { operation: Operation::Add, a: -a, b: b.parse().ok()? })
}

#[test]
fn signdiv_and_signadd_answer_as_those_students_did() {
    let Some(steps) = labelled("DIVIDE_MULTIPLY_OPP_SIGNS") else { return };
    let answered = |code, stem: Option<Stem>, step: &Step| {
        let answer = apply(code, &stem?).ok()?.number()?.value();
        Some(Exact::new(answer.top().into(), answer.bottom().into())?.is_near(step.after, step.places))
    };
    let signs: Vec<bool> =
        steps.iter().filter_map(|step| answered(Code::SignDiv, signed(step), step)).collect();
    println!("SIGNDIV: {} of {}", signs.iter().filter(|same| **same).count(), signs.len());
    assert_eq!((signs.len(), signs.iter().filter(|same| **same).count()), (105, 105));
    let mut sums = labelled("CHECK_SIGN").unwrap();
    sums.extend(labelled("FORGOT_NEGATIVE").unwrap());
    let sums: Vec<bool> = sums.iter().filter_map(|step| answered(Code::SignAdd, sum(step), step)).collect();
    println!("SIGNADD: {} of {}", sums.iter().filter(|same| **same).count(), sums.len());
    assert!(sums.len() >= 20 && sums.iter().all(|same| *same), "{sums:?}");
}

/// Of 155 steps, reading each side's one operator between terms, 113 are swapped to the last digit. The 69 that the
/// specification counts were told in a way it does not say, and are not reproduced.
#[test]
fn wrong_operations_swap_adding_and_subtracting() {
    let Some(steps) = labelled("WRONG_OPERATION") else { return };
    let swapped = count(&steps, |step| step.swapped() == Some(step.after));
    println!("WRONG_OPERATION: {swapped} of {}", steps.len());
    assert_eq!((steps.len(), swapped), (155, 113));
}
