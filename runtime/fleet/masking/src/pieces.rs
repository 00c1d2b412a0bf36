//! A secret in pieces, of which a threshold gives it back and fewer say nothing: Shamir's scheme (1979) over the scalars of
//! Curve25519, a prime field of 2²⁵² elements.
//!
//! In that field because crates for GF(2⁸) have 255 pieces at most and a round has up to 1,024 members; and because
//! `curve25519-dalek`, which X25519 needs anyway, has its arithmetic in constant time.

use crate::veil::Stream;
use curve25519_dalek::Scalar;
use zeroize::Zeroizing;

/// A polynomial whose value at 0 is the secret.
pub(crate) struct Polynomial(Zeroizing<Vec<Scalar>>);

impl Polynomial {
    /// One of degree `threshold` - 1, its other coefficients drawn from `stream`.
    pub(crate) fn draw(secret: &Scalar, threshold: usize, stream: &mut Stream) -> Self {
        // Taken in one: a vector that grows leaves copies behind.
        let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold));
        coefficients.push(*secret);
        for _ in 1..threshold {
            let mut wide = Zeroizing::new([0; 64]);
            stream.fill(&mut wide[..]);
            coefficients.push(Scalar::from_bytes_mod_order_wide(&wide));
        }
        Self(coefficients)
    }

    /// The piece of that member.
    pub(crate) fn at(&self, member: u32) -> Scalar {
        let x = place(member);
        self.0.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * x + coefficient)
    }
}

/// How pieces of some members are put together: Lagrange's interpolation at 0, the same for every secret.
pub(crate) struct Joining(Vec<Scalar>);

impl Joining {
    /// For pieces of these members, each named once.
    pub(crate) fn of(members: &[u32]) -> Self {
        let weight = |member: &u32| {
            let x = place(*member);
            let others = members.iter().filter(|other| *other != member).map(|other| place(*other));
            let (above, below) = others.fold((Scalar::ONE, Scalar::ONE), |(above, below), other| {
                (above * other, below * (other - x))
            });
            above * below.invert()
        };
        Self(members.iter().map(weight).collect())
    }

    /// The secret, from pieces in the order of the members.
    pub(crate) fn join<'p>(&self, pieces: impl IntoIterator<Item = &'p Scalar>) -> Zeroizing<Scalar> {
        let sum = self.0.iter().zip(pieces).fold(Scalar::ZERO, |sum, (weight, piece)| sum + weight * piece);
        Zeroizing::new(sum)
    }
}

/// Where a member's piece is taken: never at 0, where the secret is.
fn place(member: u32) -> Scalar {
    Scalar::from(u64::from(member) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_ground::hex::decode_array;

    fn number(text: &str) -> Scalar {
        Scalar::from_canonical_bytes(decode_array(text).unwrap()).unwrap()
    }

    fn stream(seed: u8) -> Stream {
        Stream::new(&Zeroizing::new([seed; 32]))
    }

    #[test]
    fn pieces_are_those_of_rfc_9591() {
        // Appendix E.1, FROST(Ed25519, SHA-512): secret, coefficient 1, and participants' shares at 1, 2 and 3.
        let secret = number("7b1c33d3f5291d85de664833beb1ad469f7fb6025a0ec78b3a790c6e13a98304");
        let slope = number("178199860edd8c62f5212ee91eff1295d0d670ab4ed4506866bae57e7030b204");
        let polynomial = Polynomial(Zeroizing::new(vec![secret, slope]));
        let wanted = [
            "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
            "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d",
            "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
        ]
        .map(number);
        // Member 0 stands at 1.
        assert_eq!([0, 1, 2].map(|member| polynomial.at(member)), wanted);
        assert_eq!(*Joining::of(&[0, 2]).join([&wanted[0], &wanted[2]]), secret);
        assert_eq!(*Joining::of(&[2, 1]).join([&wanted[2], &wanted[1]]), secret);
    }

    #[test]
    fn any_threshold_of_pieces_gives_the_secret_and_one_fewer_does_not() {
        let (secret, threshold) = (Scalar::from(7u64), 5);
        let polynomial = Polynomial::draw(&secret, threshold, &mut stream(1));
        let members = [0, 3, 4, 17, 1000, 70_000, u32::MAX - 1, u32::MAX];
        for from in 0..=members.len() - threshold {
            let some = &members[from..from + threshold];
            let pieces: Vec<Scalar> = some.iter().map(|member| polynomial.at(*member)).collect();
            assert_eq!(*Joining::of(some).join(&pieces), secret);
            assert_ne!(*Joining::of(&some[1..]).join(&pieces[1..]), secret);
        }
    }

    #[test]
    fn fewer_pieces_than_the_threshold_fit_every_secret() {
        // For any secret there is a polynomial through it and two pieces of three: they say nothing of it.
        let polynomial = Polynomial::draw(&Scalar::from(7u64), 3, &mut stream(2));
        let pieces = [1, 2].map(|member| polynomial.at(member));
        for other in [Scalar::ZERO, Scalar::from(8u64), -Scalar::ONE] {
            // The third piece that would give it, by the weights of all three.
            let joining = Joining::of(&[1, 2, 3]);
            let so_far = joining.join(&pieces);
            let third = (other - *so_far) * joining.0[2].invert();
            assert_eq!(*joining.join([&pieces[0], &pieces[1], &third]), other);
        }
    }

    #[test]
    fn no_coefficient_is_drawn_twice() {
        let polynomial = Polynomial::draw(&Scalar::ONE, 40, &mut stream(3));
        let distinct: std::collections::BTreeSet<_> = polynomial.0.iter().map(Scalar::to_bytes).collect();
        assert_eq!(distinct.len(), 40);
        assert!(polynomial.0.last() != Some(&Scalar::ZERO), "its degree is that of the threshold");
    }
}
