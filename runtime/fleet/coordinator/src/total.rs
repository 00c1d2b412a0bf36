//! Totals: of a read-out, every device's sums, once; and of rounds that are aggregated securely.

use crate::error::CoordinatorError;
use crate::ids::{DeviceNumber, RoundId};
use crate::ledger::Ledger;
use crate::step::{Sum, decoded};
use sprig_learn::readout::fleet::FleetSums;
use sprig_learn::spry::{CLIP, Robust};
use sprig_masking::Veiled;

/// Devices that a median of examples needs before anybody's is held against it.
const LEAST: usize = 5;

/// Adds the sums of `round` to `sums`. Whole numbers: their order changes nothing. Those of far more examples than other devices
/// have count as so many, unless everything counts as it is.
pub(crate) fn add(
    sums: &mut FleetSums,
    ledger: &Ledger,
    round: RoundId,
    robust: Robust,
) -> Result<Sum, CoordinatorError> {
    let most = if robust == Robust::None { u64::MAX } else { most_examples(ledger, round)? };
    let mut sum = Sum::new(0);
    ledger.updates(round, |number, _, frame| {
        let update = decoded(ledger, round, number, frame)?;
        let bytes = ledger.whole(number)?;
        let mut own = FleetSums::unpacked(sums.shape(), &bytes, u64::from(update.examples))
            .map_err(|flaw| ledger.damaged(format!("sums of device {number} in round {round}: {flaw}")))?;
        own.cut(most);
        // Past what sums have room for, the round goes on without it.
        if sums.merge(&own).is_ok() {
            sum.count(number, &update);
            sum.parts = None;
        }
        Ok::<_, CoordinatorError>(())
    })?;
    Ok(sum)
}

/// Adds the total of a round that was aggregated securely, which is that of its updates.
pub(crate) fn add_total(
    sums: &mut FleetSums,
    ledger: &Ledger,
    round: RoundId,
) -> Result<Sum, CoordinatorError> {
    let (mut sum, mut said) = (Sum::new(0), 0);
    ledger.updates(round, |number, _, frame| {
        let update = decoded(ledger, round, number, frame)?;
        said += u64::from(update.examples);
        sum.count(number, &update);
        sum.parts = None;
        Ok::<_, CoordinatorError>(())
    })?;
    if sum.applied == 0 {
        return Ok(sum);
    }
    let total = FleetSums::from_numbers(sums.shape(), &numbers(ledger)?, said)
        .map_err(|flaw| ledger.damaged(format!("the total of round {round}: {flaw}")))?;
    // Past what sums have room for, the round goes on without it.
    if sums.merge(&total).is_err() {
        return Ok(Sum::new(0));
    }
    Ok(sum)
}

/// The same, none without updates, with the devices whose it is and their examples.
pub(crate) fn said(ledger: &Ledger, round: RoundId) -> Result<(Vec<i64>, (u32, u64)), CoordinatorError> {
    let (mut devices, mut examples) = (0, 0);
    ledger.updates(round, |number, _, frame| {
        devices += 1;
        examples += u64::from(decoded(ledger, round, number, frame)?.examples);
        Ok::<_, CoordinatorError>(())
    })?;
    let numbers = if devices == 0 { Vec::new() } else { numbers(ledger)? };
    Ok((numbers, (devices, examples)))
}

/// The total of a round that was aggregated securely, as the ledger holds it.
pub(crate) fn numbers(ledger: &Ledger) -> Result<Vec<i64>, CoordinatorError> {
    let bytes = ledger.whole(DeviceNumber::NOBODY)?;
    let (numbers, _) = bytes.as_chunks();
    Ok(numbers.iter().map(|number| i64::from_le_bytes(*number)).collect())
}

/// Examples of a device that count, at most: of those that devices say they have, of this round and before.
fn most_examples(ledger: &Ledger, round: RoundId) -> Result<u64, CoordinatorError> {
    let before = ledger.coverage()?.into_iter().filter_map(|row| row.examples.into_iter().max());
    let mut examples: Vec<u64> = before.filter(|n| *n > 0).collect();
    ledger.updates(round, |number, _, frame| {
        examples.push(u64::from(decoded(ledger, round, number, frame)?.examples));
        Ok::<_, CoordinatorError>(())
    })?;
    Ok(most(examples))
}

/// Bytes of so many numbers under veils.
pub fn veiled_bytes(numbers: usize) -> usize {
    Veiled::bytes(numbers)
}

/// Examples of a device that count, at most, where devices have said that they have `examples`: [`CLIP`] medians of those.
pub fn most(mut examples: Vec<u64>) -> u64 {
    if examples.len() < LEAST {
        return u64::MAX;
    }
    let middle = (examples.len() - 1) / 2;
    CLIP as u64 * *examples.select_nth_unstable(middle).1
}
