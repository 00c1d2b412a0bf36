//! How a device's update travels: scalars in the message, or weights beside it.

use crate::settings::Upload;
use sprig_learn::spry::LocalUpdate;
use sprig_transport::messages::{Body, Digest, MAX_SCALARS};

/// What the message of `update` says, and the bytes of weights that follow it in pieces: f32, little-endian; none where
/// scalars go `up`, or the update has no weights.
pub fn body(update: &mut LocalUpdate, up: Upload) -> (Body, Vec<u8>) {
    let (scalars, weights) = (update.scalars.len(), update.weights.len());
    let dense = match up {
        Upload::Scalars => false,
        Upload::Weights => true,
        // Both are numbers of four bytes. Without scalars the steps were exact.
        Upload::Auto => scalars == 0 || weights < scalars || scalars > MAX_SCALARS,
    };
    if !dense || weights == 0 {
        return (Body::Scalars(std::mem::take(&mut update.scalars)), Vec::new());
    }
    let bytes: Vec<u8> = update.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    (Body::Dense { digest: Digest::of(&bytes), bytes: bytes.len() as u32 }, bytes)
}

/// The weights in a piece of those bytes; pieces hold whole weights.
pub fn weights(piece: &[u8]) -> impl Iterator<Item = f32> + '_ {
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
            let mut update = LocalUpdate { examples: 1, tokens: 1, loss: 1.0, scalars, bins: None, weights };
            match body(&mut update, up) {
                (Body::Scalars(scalars), dense) => (scalars.len(), dense.len()),
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
        assert_eq!(sent(MAX_SCALARS + 1, MAX_SCALARS + 2, Upload::Auto).0, 0);
        assert_eq!((sent(20, 10, Upload::Scalars), sent(10, 20, Upload::Weights)), ((20, 0), (0, 80)));
    }
}
