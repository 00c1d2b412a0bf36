//! How a device's update travels: scalars in the message, or weights beside it.

use sprig_learn::spry::LocalUpdate;
use sprig_transport::messages::{Body, Digest};

/// What the message of `update` says, and the bytes of weights that follow it in pieces: f32, little-endian; none unless
/// `dense` asks for weights and the update has some.
pub fn body(update: &mut LocalUpdate, dense: bool) -> (Body, Vec<u8>) {
    if !dense || update.weights.is_empty() {
        return (Body::Scalars(std::mem::take(&mut update.scalars)), Vec::new());
    }
    let bytes: Vec<u8> = update.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    (Body::Dense { digest: Digest::of(&bytes), bytes: bytes.len() as u32 }, bytes)
}

/// The weights in a piece of those bytes; pieces hold whole weights.
pub fn weights(piece: &[u8]) -> impl Iterator<Item = f32> + '_ {
    piece.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
