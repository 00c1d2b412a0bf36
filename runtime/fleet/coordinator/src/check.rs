//! Looking through what came in pieces, once all of it is in the ledger.

use crate::ids::DeviceNumber;
use crate::ledger::{Ledger, LedgerError};
use crate::validate::{self, Refusal};
use sha2::{Digest as _, Sha256};
use sprig_learn::readout::fleet::{Flaw, FleetSums, Shape};
use sprig_protocol::dense;
use sprig_transport::messages::{Digest, Reason};

/// Looks through the pieces of an update of `bytes` bytes: root mean square of what its numbers change those of `base` by,
/// or why it is refused.
pub(super) fn check(
    ledger: &Ledger,
    (number, digest, bytes): (DeviceNumber, Digest, u32),
    mut base: impl Iterator<Item = f32>,
) -> Result<Result<f32, Refusal>, LedgerError> {
    let mut hash = Sha256::new();
    let (mut squares, mut count, mut sound) = (0.0f64, 0u64, Ok(()));
    ledger.chunks(number, |piece| {
        hash.update(piece);
        match validate::root_mean_square(
            dense::numbers(piece).zip(&mut base).map(|(number, base)| number - base),
        ) {
            Ok(norm) => squares += f64::from(norm) * f64::from(norm) * (piece.len() / 4) as f64,
            Err(refusal) => sound = Err(refusal),
        }
        count += piece.len() as u64;
        Ok(())
    })?;
    if count != u64::from(bytes) || hash.finalize().as_slice() != digest.0 {
        let text = format!("its {count} bytes are not those of {}", digest.short());
        return Ok(Err(Refusal::new(Reason::Blob, text)));
    }
    Ok(sound.map(|()| (squares / (count / 4).max(1) as f64).sqrt() as f32))
}

/// Looks through the pieces of a device's sums, which are of `examples` examples, as it says. Sums have no norm: how large
/// they are is how many examples there are.
pub(super) fn check_sums(
    ledger: &Ledger,
    number: DeviceNumber,
    digest: Digest,
    shape: Shape,
    examples: u32,
) -> Result<Result<f32, Refusal>, LedgerError> {
    let bytes = match gather(ledger, number, digest)? {
        Ok(bytes) => bytes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let found = FleetSums::unpacked(shape, &bytes, u64::from(examples)).map(|_| 0.0);
    Ok(found.map_err(|flaw| {
        let reason = match flaw {
            Flaw::Form => Reason::Blob,
            Flaw::Examples { .. } => Reason::Examples,
            Flaw::Range { .. } => Reason::Norm,
        };
        Refusal::new(reason, flaw.to_string())
    }))
}

/// All pieces of a device's update, if they are what it announced.
pub(super) fn gather(
    ledger: &Ledger,
    number: DeviceNumber,
    digest: Digest,
) -> Result<Result<Vec<u8>, Refusal>, LedgerError> {
    let bytes = ledger.whole(number)?;
    if Digest::of(&bytes) != digest {
        let text = format!("its {} bytes are not those of {}", bytes.len(), digest.short());
        return Ok(Err(Refusal::new(Reason::Blob, text)));
    }
    Ok(Ok(bytes))
}
