//! What a pass says of one example.

/// What one example gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Mean loss over its target rows, nats.
    pub loss: f64,
    /// Target rows: tokens for a language model, 1 for a classification.
    pub rows: u32,
    /// Rows whose best choice was the target.
    pub hits: u32,
    /// Whether the likeliest token of all was an answer to it; `None` where nobody asked.
    pub answered: Option<bool>,
    /// How sure the model was of the answer that it found likeliest; `None` where there are none to choose among.
    pub confidence: Option<f64>,
    /// Place of the answer that the model found likeliest among the candidates; `None` where there are none.
    pub chosen: Option<u32>,
    /// What its record counts against others.
    pub record: f32,
}

impl Outcome {
    /// What it counts in a mean of losses, and its derivatives in a gradient: its target rows, times what its record counts.
    pub fn weight(&self) -> f32 {
        self.rows as f32 * self.record
    }
}

/// Mean loss of `outcomes`, each by its weight.
pub fn mean_loss(outcomes: &[Outcome]) -> f64 {
    let weight: f64 = outcomes.iter().map(|o| f64::from(o.weight())).sum();
    outcomes.iter().map(|o| o.loss * f64::from(o.weight())).sum::<f64>() / weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_records_weigh_a_mean() {
        let one = |loss, rows, record| Outcome { loss, rows, record, ..Outcome::default() };
        assert_eq!(mean_loss(&[one(1.0, 1, 1.0), one(4.0, 2, 1.0)]), 3.0);
        assert_eq!(mean_loss(&[one(1.0, 1, 4.0), one(4.0, 2, 1.0)]), 2.0);
        assert_eq!(mean_loss(&[one(1.0, 1, 0.5), one(4.0, 2, 0.5)]), 3.0);
    }
}
