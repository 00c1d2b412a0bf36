//! How a device's update travels: scalars in the message, or beside it, in pieces, weights, or scalars that are too many for one.

use crate::settings::Upload;
use sprig_budget::Bytes;
use sprig_learn::spry::{LocalUpdate, Rules};
use sprig_transport::messages::{Body, Digest, MAX_SCALARS};

/// What the message of `update` says, and the bytes of numbers that follow it in pieces: f32, little-endian; none where
/// its scalars are in the message.
pub fn body(update: &mut LocalUpdate, up: Upload) -> (Body, Vec<u8>) {
    let (scalars, weights) = (update.scalars.len(), update.weights.len());
    let dense = match up {
        Upload::Scalars => false,
        Upload::Weights => true,
        // Both are numbers of four bytes. Without scalars the steps were exact.
        Upload::Auto => scalars == 0 || weights < scalars || scalars > MAX_SCALARS,
    };
    let dense = dense && weights > 0;
    if !dense && scalars <= MAX_SCALARS {
        return (Body::Scalars(std::mem::take(&mut update.scalars)), Vec::new());
    }
    let numbers = std::mem::take(if dense { &mut update.weights } else { &mut update.scalars });
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    (Body::Dense { digest: Digest::of(&bytes), bytes: bytes.len() as u32 }, bytes)
}

/// Heap bytes of scalars that go `up` in pieces: as bytes, and beside their message; none where a message holds them.
pub fn heap_bytes(rules: &Rules, up: Upload) -> Bytes {
    let scalars = rules.sent_count(rules.examples());
    let pieces = scalars > MAX_SCALARS && !up.takes_weights(rules);
    Bytes(if pieces { 2 * (scalars * size_of::<f32>()) as u64 } else { 0 })
}

/// The numbers in a piece of those bytes; pieces hold whole ones.
pub fn numbers(piece: &[u8]) -> impl Iterator<Item = f32> + '_ {
    piece.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scalars and weights say the same: the fewer of them travel.
    #[test]
    fn auto_sends_whichever_is_smaller() {
        let sent = |scalars: usize, weights: usize, up| {
            let (scalars, weights) = (vec![1.0; scalars], vec![1.0; weights]);
            let mut update = LocalUpdate {
                examples: 1,
                tokens: 1,
                loss: 1.0,
                scalars,
                sums: Vec::new(),
                bins: None,
                weights,
            };
            match body(&mut update, up) {
                (Body::Scalars(scalars), dense) => (scalars.len(), dense.len()),
                (Body::Word(_), _) => unreachable!("a body of an update is none"),
                (Body::Dense { bytes, .. }, dense) => {
                    assert_eq!(bytes as usize, dense.len());
                    (0, dense.len())
                }
            }
        };
        assert_eq!(sent(10, 20, Upload::Auto), (10, 0));
        assert_eq!(sent(20, 10, Upload::Auto), (0, 40));
        assert_eq!(sent(0, 10, Upload::Auto), (0, 40));
        assert_eq!(sent(10, 0, Upload::Auto), (10, 0));
        assert_eq!(sent(MAX_SCALARS + 1, MAX_SCALARS + 2, Upload::Auto), (0, 4 * (MAX_SCALARS + 2)));
        assert_eq!((sent(20, 10, Upload::Scalars), sent(10, 20, Upload::Weights)), ((20, 0), (0, 80)));
    }

    /// An iteration has no weights.
    #[test]
    fn scalars_that_no_message_holds_go_in_pieces() {
        for up in [Upload::Scalars, Upload::Auto] {
            for (scalars, pieces) in [(MAX_SCALARS, 0), (MAX_SCALARS + 1, 4 * (MAX_SCALARS + 1))] {
                let (scalars, weights) = (vec![0.5; scalars], Vec::new());
                let mut update = LocalUpdate {
                    examples: 1,
                    tokens: 1,
                    loss: 1.0,
                    scalars,
                    sums: Vec::new(),
                    bins: None,
                    weights,
                };
                let (body, bytes) = body(&mut update, up);
                assert_eq!(bytes.len(), pieces);
                assert_eq!(matches!(body, Body::Dense { .. }), pieces > 0);
                assert!(numbers(&bytes).all(|n| n == 0.5) && update.scalars.is_empty());
            }
        }
    }
}
