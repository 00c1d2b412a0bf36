//! Keys from secrets: HKDF-SHA256 (RFC 5869) under what was agreed on, and X25519 (RFC 7748) between two.
//!
//! A member draws one root. Everything else that it keeps secret follows from that, so that a restart makes the same again.

use crate::context::Context;
use curve25519_dalek::Scalar;
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// 32 secret bytes, wiped where they end. Not printable.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Begins what HKDF is told of each derivation.
const LABEL: &[u8] = b"sprig masking 1: ";

/// What a member keeps secret in a round, but for the root.
pub(crate) struct Secrets {
    /// Opens and seals packages.
    pub(crate) sealing: StaticSecret,
    /// What its key for veils follows from, dealt in pieces: opened if the member is lost.
    pub(crate) veil_seed: Zeroizing<Scalar>,
    /// The key for veils.
    pub(crate) veiling: StaticSecret,
    /// What its own veil follows from (the paper's b), dealt in pieces: opened if the member reports.
    pub(crate) own_seed: Zeroizing<Scalar>,
}

impl Secrets {
    pub(crate) fn of(root: &Key, terms: &Context, member: u32) -> Self {
        let member = member.to_le_bytes();
        let veil_seed = scalar(&expand(&root[..], terms, b"veil seed", &[&member]));
        Self {
            sealing: StaticSecret::from(*expand::<32>(&root[..], terms, b"sealing key", &[&member])),
            veiling: veiling_key(&veil_seed, terms),
            veil_seed,
            own_seed: scalar(&expand(&root[..], terms, b"own seed", &[&member])),
        }
    }
}

/// A member's key for veils. The seed is dealt, not the key: it is a number of the field that pieces are made in.
pub(crate) fn veiling_key(veil_seed: &Scalar, terms: &Context) -> StaticSecret {
    let seed = Zeroizing::new(veil_seed.to_bytes());
    StaticSecret::from(*expand::<32>(&seed[..], terms, b"veiling key", &[]))
}

/// What a member promises of its own seed with its keys, so that a wrong one is told from a right one.
pub(crate) fn promise(own_seed: &Scalar, terms: &Context) -> [u8; 32] {
    let seed = Zeroizing::new(own_seed.to_bytes());
    *expand::<32>(&seed[..], terms, b"promise", &[])
}

/// The key of a member's own veil.
pub(crate) fn own_veil(own_seed: &Scalar, listed: &Context) -> Key {
    let seed = Zeroizing::new(own_seed.to_bytes());
    expand(&seed[..], listed, b"own veil", &[])
}

/// The key of the veil of two members, the same for both; none if a key is of those that give 0 with every other.
/// `listed` holds the run, the round, and all numbers and public keys.
pub(crate) fn pair_veil(
    mine: &StaticSecret,
    theirs: &[u8; 32],
    listed: &Context,
    pair: [u32; 2],
) -> Option<Key> {
    let [low, high] = [pair[0].min(pair[1]), pair[0].max(pair[1])].map(u32::to_le_bytes);
    between(mine, theirs, listed, b"pair veil", [&low, &high])
}

/// Whether a public key is none of those that give one secret with everybody.
pub(crate) fn is_usable(public: &[u8; 32]) -> bool {
    // Any private key tells: all are multiples of the cofactor.
    StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(*public)).was_contributory()
}

/// The key of the one package from a member to another.
pub(crate) fn package_key(
    mine: &StaticSecret,
    theirs: &[u8; 32],
    listed: &Context,
    from_to: [u32; 2],
) -> Option<Key> {
    let [from, to] = from_to.map(u32::to_le_bytes);
    between(mine, theirs, listed, b"package", [&from, &to])
}

/// The key of the stream that a member's pieces are drawn from.
pub(crate) fn dealing_key(root: &Key, listed: &Context, member: u32) -> Key {
    expand(&root[..], listed, b"dealing", &[&member.to_le_bytes()])
}

fn between(
    mine: &StaticSecret,
    theirs: &[u8; 32],
    listed: &Context,
    label: &[u8],
    pair: [&[u8]; 2],
) -> Option<Key> {
    let shared = mine.diffie_hellman(&PublicKey::from(*theirs));
    shared.was_contributory().then(|| expand(shared.as_bytes(), listed, label, &pair))
}

/// Uniform but for 2⁻²⁵⁶: from twice as many bits as the field has.
fn scalar(wide: &Zeroizing<[u8; 64]>) -> Zeroizing<Scalar> {
    Zeroizing::new(Scalar::from_bytes_mod_order_wide(wide))
}

fn expand<const N: usize>(
    secret: &[u8],
    context: &Context,
    label: &[u8],
    parts: &[&[u8]],
) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    let info: Vec<&[u8]> = [LABEL, label, &[0]].into_iter().chain(parts.iter().copied()).collect();
    let expanded = Hkdf::<Sha256>::new(Some(context.bytes()), secret).expand_multi_info(&info, &mut out[..]);
    expanded.expect("no key here is longer than the 8,160 bytes that HKDF gives");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Terms;
    use crate::messages::Peer;
    use sprig_ground::hex::{decode_array, encode};

    /// Alice and Bob of RFC 7748, section 6.1.
    const PRIVATE: [&str; 2] = [
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ];
    const PUBLIC: [&str; 2] = [
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ];

    fn terms() -> Context {
        Context::of_terms(&Terms::new([1; 16], 2, 9, 3).unwrap())
    }

    /// Alice is member 4 and Bob 300, each with one key for both purposes.
    fn listed() -> Context {
        let keys: [[u8; 32]; 2] = PUBLIC.map(|text| decode_array(text).unwrap());
        let peers = [(4, keys[0]), (300, keys[1])];
        terms().with_peers(&peers.map(|(member, key)| Peer { member, sealing: key, veiling: key }))
    }

    fn check(name: &str, found: &[u8], wanted: &str) {
        assert_eq!(encode(found), wanted, "{name}");
    }

    // The golden bytes here and below are those of another program (Python's hashlib and hmac), which had the shared
    // secret of RFC 7748. They change if a label, a context or an order does, and then the version has to.

    #[test]
    fn keys_between_two_are_the_golden_ones_from_either_side() {
        let private: [StaticSecret; 2] =
            PRIVATE.map(|text| StaticSecret::from(decode_array::<32>(text).unwrap()));
        let public: [[u8; 32]; 2] = PUBLIC.map(|text| decode_array(text).unwrap());
        assert_eq!(private.each_ref().map(|key| PublicKey::from(key).to_bytes()), public);
        assert!(public.iter().all(is_usable));
        for (mine, theirs) in [(0, 1), (1, 0)] {
            let (mine, theirs) = (&private[mine], &public[theirs]);
            for pair in [[4, 300], [300, 4]] {
                let veil = pair_veil(mine, theirs, &listed(), pair).unwrap();
                check("pair", &veil[..], "de65d1ab527e2d8ea66d5045f94ed0121e2b4b23eefac7927c266a905b562896");
            }
            let there = package_key(mine, theirs, &listed(), [4, 300]).unwrap();
            check("there", &there[..], "6a91038d410790f2173524d30277e438c551ca08cdab13dc3c042c9478330d8b");
            let back = package_key(mine, theirs, &listed(), [300, 4]).unwrap();
            check("back", &back[..], "62e69f58e5c2929f9862c6b81b168fb3cc05ba098778196606741f5d80786b9c");
        }
    }

    #[test]
    fn a_members_own_keys_are_the_golden_ones() {
        let (seed, root) = (Scalar::from(7u64), Key::new([3; 32]));
        let own = own_veil(&seed, &listed());
        check("own", &own[..], "944af108132a9ce05528138325f6d1f199486c285e8e84cbeb88b0014ba79cda");
        let promise = promise(&seed, &terms());
        check("promise", &promise, "623cee38a04685af9b2220e7da4f4f6f7630128a883c6a46d736e3f06204e2f4");
        let veiling = veiling_key(&seed, &terms());
        check(
            "veiling",
            veiling.as_bytes(),
            "86f8ca5f101f24bcd1ef99835ae9b89493ff3c55f7db9214629d16c3b9bd3364",
        );
        let dealing = dealing_key(&root, &listed(), 4);
        check("dealing", &dealing[..], "2db63497cdfaf250228988ea8a61a85f7e72c68a031a3ee1899ab3fa4977489c");
        let secrets = Secrets::of(&root, &terms(), 4);
        let bytes = secrets.sealing.as_bytes();
        check("sealing", bytes, "ac44f257819b1b81096e8d6dc9110088df63f0012d96c6d71964569c9212e68f");
        let bytes = secrets.veil_seed.as_bytes();
        check("veil seed", bytes, "907ec91a0144fd30d2908403c7f021ba8efc725521901c0fbb22b760c3b37609");
        let bytes = secrets.own_seed.as_bytes();
        check("own seed", bytes, "0c11e7d7c6378221219b31db3999d00a43497414dcf816254bd83c81e7b2ca04");
        let question = listed().with_dealers(&[4, 300]).with_question(&[4], &[300]);
        check("question", &question.tag(), "cb1a0ed650b80841");
    }

    #[test]
    fn expansion_is_that_of_rfc_5869() {
        // Appendix A.1, through the crate as it is used here.
        let salt: [u8; 13] = decode_array("000102030405060708090a0b0c").unwrap();
        let info: [u8; 10] = decode_array("f0f1f2f3f4f5f6f7f8f9").unwrap();
        let mut out = [0; 42];
        Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22])
            .expand_multi_info(&[&info[..3], &info[3..]], &mut out)
            .unwrap();
        let wanted = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        check("okm", &out, wanted);
    }

    #[test]
    fn a_public_key_that_gives_one_secret_with_everybody_gives_none() {
        let mine = StaticSecret::from([7; 32]);
        let one = std::array::from_fn(|at| u8::from(at == 0));
        for low in [[0; 32], one] {
            assert!(pair_veil(&mine, &low, &listed(), [4, 300]).is_none());
            assert!(package_key(&mine, &low, &listed(), [4, 300]).is_none());
            assert!(!is_usable(&low));
        }
    }
}
