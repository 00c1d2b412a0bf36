//! Judging an update: the coordinator trusts no number. Each check names what it saw and what it expected.

use super::state::Member;
use sprig_learn::spry::Rules;
use sprig_transport::messages::{Body, Digest, GroupSet, Reason, RunId, Update};

/// How far an update's norm may lie above the median of those applied before it.
pub(super) const NORM_FACTOR: f32 = 20.0;
/// Norms that a median needs before it judges others.
pub(super) const NORM_QUORUM: usize = 5;
/// Norm no update may have, whatever came before. Scalars are directional derivatives of a loss, of order 1.
pub(super) const NORM_CEILING: f32 = 1e6;

/// Why something is refused, in a word and in words.
pub(super) type Refusal = (Reason, String);

/// What an update must be like.
pub(super) struct Expected<'a> {
    pub run: RunId,
    pub round: u32,
    /// Whose topic it came on.
    pub number: u32,
    pub member: Option<&'a Member>,
    pub base: Digest,
    pub rules: &'a Rules,
    /// Examples of a full round.
    pub examples: u32,
    /// Bytes of the share's weights where updates are dense; `None` where they are scalars.
    pub dense: Option<u32>,
    /// Largest norm.
    pub limit: f32,
}

/// An update that may stay.
#[derive(Debug, PartialEq)]
pub(super) enum Sound {
    /// All of it is here; its root mean square.
    Scalars(f32),
    /// Its weights are to come in pieces.
    Dense { digest: Digest, bytes: u32 },
}

/// Judges an update whose run and sender are right.
pub(super) fn judge(update: &Update, expected: &Expected<'_>) -> Result<Sound, Refusal> {
    let Expected { run, round, number, .. } = *expected;
    if update.run != run {
        return Err((Reason::WrongRun, format!("this is run {run}")));
    }
    if update.number != number {
        return Err((Reason::WrongNumber, format!("number {}; this device is {number}", update.number)));
    }
    if update.round < round {
        return Err((Reason::Closed, format!("round {} is closed; this is round {round}", update.round)));
    }
    if update.round > round {
        return Err((Reason::WrongRound, format!("round {}; this is round {round}", update.round)));
    }
    let Some(member) = expected.member else {
        return Err((Reason::NotSelected, format!("not selected for round {round}")));
    };
    if update.groups != member.groups {
        return Err((
            Reason::WrongGroups,
            format!("groups {}; its task was {}", of(update.groups), of(member.groups)),
        ));
    }
    if update.base != expected.base {
        return Err((
            Reason::WrongBase,
            format!(
                "trained from {}; round {round} begins at {}",
                update.base.short(),
                expected.base.short()
            ),
        ));
    }
    if update.examples == 0 || update.examples > expected.examples {
        return Err((
            Reason::Examples,
            format!("{} examples; a round has 1 to {}", update.examples, expected.examples),
        ));
    }
    if !update.loss.is_finite() {
        return Err((Reason::NotFinite, format!("loss {}", update.loss)));
    }
    match (&update.body, expected.dense) {
        (Body::Scalars(scalars), None) => {
            let want = expected.rules.scalar_count(update.examples);
            if scalars.len() != want {
                return Err((
                    Reason::ScalarCount,
                    format!("{} scalars; {} examples make {want}", scalars.len(), update.examples),
                ));
            }
            let norm = root_mean_square(scalars.iter().copied())?;
            within(norm, expected.limit)?;
            Ok(Sound::Scalars(norm))
        }
        (&Body::Dense { digest, bytes }, Some(want)) => {
            if bytes != want {
                return Err((Reason::Blob, format!("{bytes} bytes of weights; the share has {want}")));
            }
            Ok(Sound::Dense { digest, bytes })
        }
        (Body::Scalars(_), Some(_)) => Err((Reason::ScalarCount, "scalars; this run takes weights".into())),
        (Body::Dense { .. }, None) => Err((Reason::Blob, "weights; this run takes scalars".into())),
    }
}

fn of(groups: GroupSet) -> String {
    format!("{} + {} × {}", groups.first, groups.step, groups.count)
}

/// Refuses a norm above the limit.
pub(super) fn within(norm: f32, limit: f32) -> Result<(), Refusal> {
    if norm > limit {
        Err((Reason::Norm, format!("norm {norm:.3e}; the limit is {limit:.3e}")))
    } else {
        Ok(())
    }
}

/// Root mean square, in f64: squares of f32 overflow f32. 0 for nothing.
pub(super) fn root_mean_square(numbers: impl Iterator<Item = f32>) -> Result<f32, Refusal> {
    let (mut sum, mut count) = (0.0f64, 0u64);
    for (at, number) in numbers.enumerate() {
        if !number.is_finite() {
            return Err((Reason::NotFinite, format!("number {at} is {number}")));
        }
        sum += f64::from(number) * f64::from(number);
        count += 1;
    }
    Ok(if count == 0 { 0.0 } else { (sum / count as f64).sqrt() as f32 })
}

/// The largest norm that updates may have after those with these norms.
pub(super) fn limit(norms: &mut [f32]) -> f32 {
    if norms.len() < NORM_QUORUM {
        return NORM_CEILING;
    }
    let middle = norms.len() / 2;
    let median = *norms.select_nth_unstable_by(middle, f32::total_cmp).1;
    // Norms of zero are those of a loss that is flat here; they say nothing of the next.
    if median > 0.0 { (NORM_FACTOR * median).min(NORM_CEILING) } else { NORM_CEILING }
}
