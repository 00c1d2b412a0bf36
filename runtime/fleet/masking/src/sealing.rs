//! A package: two pieces from one member to another, sealed with ChaCha20-Poly1305 (RFC 8439).

use crate::derive::Key;
use crate::messages::SEALED;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use curve25519_dalek::Scalar;
use zeroize::Zeroizing;

/// What a member holds of another: a piece of each of its two secrets, of which it gives one at most.
#[derive(Clone)]
pub(crate) struct Pieces {
    pub(crate) of_veil: Zeroizing<Scalar>,
    pub(crate) of_own: Zeroizing<Scalar>,
}

impl Pieces {
    /// Sealed with a key that seals nothing else: so the nonce may be 0. The key is derived from who sends what to whom,
    /// which therefore needs no proof of its own.
    pub(crate) fn seal(&self, key: &Key) -> [u8; SEALED] {
        let mut plain = Zeroizing::new([0; 64]);
        plain[..32].copy_from_slice(self.of_veil.as_bytes());
        plain[32..].copy_from_slice(self.of_own.as_bytes());
        let sealed = ChaCha20Poly1305::new((&**key).into()).encrypt(&[0; 12].into(), &plain[..]);
        let sealed = sealed.expect("64 bytes are below the 256 GiB of the cipher");
        sealed.try_into().expect("16 bytes more than went in")
    }

    /// What was sealed with that key; none if anything of it was changed, or no pieces are in it.
    pub(crate) fn open(sealed: &[u8; SEALED], key: &Key) -> Option<Self> {
        let plain = ChaCha20Poly1305::new((&**key).into()).decrypt(&[0; 12].into(), &sealed[..]);
        let plain = Zeroizing::new(plain.ok()?);
        let (pieces, _) = plain.as_chunks::<32>();
        let [of_veil, of_own] = *pieces.first_chunk::<2>()?;
        Some(Self { of_veil: scalar(of_veil)?, of_own: scalar(of_own)? })
    }
}

/// A number of the field, of which each has one form.
pub(crate) fn scalar(bytes: [u8; 32]) -> Option<Zeroizing<Scalar>> {
    Option::from(Scalar::from_canonical_bytes(bytes)).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> Pieces {
        let [of_veil, of_own] = [5u64, 6].map(|value| Zeroizing::new(Scalar::from(value)));
        Pieces { of_veil, of_own }
    }

    #[test]
    fn a_package_opens_with_its_key_and_no_bit_changed() {
        let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
        let sealed = pieces().seal(&key);
        let opened = Pieces::open(&sealed, &key).unwrap();
        assert_eq!([*opened.of_veil, *opened.of_own], [*pieces().of_veil, *pieces().of_own]);
        assert!(Pieces::open(&sealed, &other).is_none());
        for bit in 0..8 * SEALED {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Pieces::open(&changed, &key).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_number_of_the_field_is_no_piece() {
        assert!(scalar([0xff; 32]).is_none());
        // A peer that knows the key seals what it likes.
        let key = Key::new([1; 32]);
        let sealed = ChaCha20Poly1305::new((&*key).into()).encrypt(&[0; 12].into(), &[0xff; 64][..]).unwrap();
        assert!(Pieces::open(&sealed.try_into().unwrap(), &key).is_none());
    }
}
