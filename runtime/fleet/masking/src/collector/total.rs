//! What comes out of a round.

/// A round's total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Whose values are in it, in ascending order.
    pub members: Vec<u32>,
    /// Their sums, modulo 2⁶⁴.
    pub values: Vec<i64>,
}
