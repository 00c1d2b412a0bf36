//! What a function of a stem covers, and the refusal of any other.

/// A stem that a function is not defined on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not defined on {stem:?}; give it {needs}")]
pub struct OutOfDomain {
    /// What is not defined: an error by its name, or a right answer.
    pub what: &'static str,
    /// The stem.
    pub stem: String,
    /// The stems that would do.
    pub needs: &'static str,
}
