//! Why a text is no answer.

/// Longest text that is read, in bytes: four times the longest polynomial that fits.
pub const MAX_LEN: usize = 1024;

/// A text that has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unparsable {
    /// Nothing is left of it.
    #[error("the answer is empty; write a number, a polynomial or a comparison sign")]
    Empty,
    /// It is longer than an answer can be.
    #[error("the answer is longer than {MAX_LEN} bytes; write the answer alone, without its working")]
    TooLong,
    /// A fraction over nothing.
    #[error("the answer's denominator is 0; write a fraction with another one")]
    ZeroDenominator,
    /// A number of too many digits.
    #[error("the answer's value needs more than 18 digits; write a shorter number")]
    TooLarge,
    /// None of the forms that there are.
    #[error(
        "the answer is none of integer, fraction, decimal, mixed number, polynomial of degree 8 at most and \
         comparison sign; write one of them alone"
    )]
    Other,
}
