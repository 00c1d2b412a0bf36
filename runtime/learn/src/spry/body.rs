//! What a device sends of a round.

/// What a device reports.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Coefficients of its directions, as applied: ascending (iteration, example, k).
    Scalars(&'a [f32]),
    /// Weights of its share after its last step, group after group; per epoch only.
    Dense(&'a [f32]),
}
