//! The numbers that hide values until they are taken away again: ChaCha20's stream (RFC 8439) as little-endian words,
//! added modulo 2⁶⁴ (the paper's PRG).

use crate::derive::Key;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::Zeroizing;

/// Words that are drawn at a time.
const WORDS: usize = 512;

/// Bytes that a key fixes and nobody without it can tell from random ones.
pub(crate) struct Stream(ChaCha20);

impl Stream {
    /// The stream of a key, which is used for nothing else: so the nonce may be 0. It has 2³⁸ bytes; what is drawn here
    /// stays far below, at 2²³.
    pub(crate) fn new(key: &Key) -> Self {
        Self(ChaCha20::new((&**key).into(), &[0; 12].into()))
    }

    /// The next bytes.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
        self.0.apply_keystream(out);
    }
}

/// Adds the veil of `key`.
pub(crate) fn add(values: &mut [u64], key: &Key) {
    each(values, key, u64::wrapping_add);
}

/// Takes the veil of `key` away.
pub(crate) fn subtract(values: &mut [u64], key: &Key) {
    each(values, key, u64::wrapping_sub);
}

fn each(values: &mut [u64], key: &Key, change: impl Fn(u64, u64) -> u64) {
    let mut stream = Stream::new(key);
    let mut block = Zeroizing::new([0u8; 8 * WORDS]);
    for values in values.chunks_mut(WORDS) {
        let bytes = &mut block[..8 * values.len()];
        stream.fill(bytes);
        let (words, _) = bytes.as_chunks::<8>();
        values
            .iter_mut()
            .zip(words)
            .for_each(|(value, word)| *value = change(*value, u64::from_le_bytes(*word)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::hex::decode_array;

    #[test]
    fn the_stream_is_that_of_rfc_8439() {
        // Appendix A.1, test vectors 1 and 2: the zero key and nonce, blocks 0 and 1.
        let mut stream = Stream::new(&Key::default());
        let mut blocks = [[0xff; 32]; 4];
        blocks.iter_mut().for_each(|half| stream.fill(half));
        let wanted = [
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        ];
        assert_eq!(blocks, wanted.map(|half| decode_array(half).unwrap()));
    }

    #[test]
    fn a_veil_is_its_stream_in_little_endian_words_and_comes_off_again() {
        let key = Key::new([9; 32]);
        let values: Vec<u64> = (0..WORDS as u64 + 3).map(|at| at.wrapping_mul(u64::MAX / 5)).collect();
        let mut veiled = values.clone();
        add(&mut veiled, &key);
        let mut stream = Stream::new(&key);
        for (veiled, value) in veiled.iter().zip(&values) {
            let mut word = [0; 8];
            stream.fill(&mut word);
            assert_eq!(veiled.wrapping_sub(*value), u64::from_le_bytes(word));
        }
        subtract(&mut veiled, &key);
        assert_eq!(veiled, values);
    }
}
