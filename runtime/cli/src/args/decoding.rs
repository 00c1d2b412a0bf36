//! How answers are written: the likeliest, or drawn.

use clap::Args;
use sprig_learn::recipe::NotNegative;
use sprig_learn::sampling::{Decoding, Stops};

/// How tokens of an answer are chosen, and which words end it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How an answer is written")]
pub struct DecodingArgs {
    /// What logits are divided by where tokens are drawn; 0 takes the likeliest each time, as adapters are judged in training
    /// and by `sprig eval` [default: 0, and 0.8 where several answers are drawn]
    #[arg(long, value_name = "T")]
    pub temperature: Option<NotNegative>,
    /// Draw among the K likeliest tokens; 0 for any number
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Draw among the likeliest tokens that together have the share P
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Draw among tokens at least P times as likely as the likeliest
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Hold tokens back that were read or written already: above 1 so much, 1 not at all
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    /// Seed of what is drawn: the same seed writes the same text [default: 0]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Words that end an answer and are no part of it; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
}

impl DecodingArgs {
    /// As the flags say.
    ///
    /// # Errors
    /// A number or a stop out of its limits.
    pub fn asked(&self) -> Result<(Decoding, Stops), String> {
        let usual = Decoding::default();
        let how = Decoding {
            temperature: self.temperature.map_or(usual.temperature, NotNegative::get),
            top_k: self.top_k.unwrap_or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            min_p: self.min_p.unwrap_or(usual.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(usual.repetition_penalty),
            seed: self.seed.unwrap_or(usual.seed),
        };
        how.check().map_err(|e| format!("--{}", e.to_string().replace('_', "-")))?;
        let stops = Stops::new(&self.stop).map_err(|e| format!("--stop: {e}"))?;
        Ok((how, stops))
    }

    /// The first of its flags that was given and says how a text is written freely; `drawn` ones are for several reasonings too.
    pub fn given(&self, drawn: bool) -> Option<&'static str> {
        let free = [
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p.is_some()),
            ("--min-p", self.min_p.is_some()),
            ("--repetition-penalty", self.repetition_penalty.is_some()),
            ("--stop", !self.stop.is_empty()),
        ];
        let both = [("--temperature", self.temperature.is_some()), ("--seed", self.seed.is_some())];
        let both = both.into_iter().filter(|_| drawn);
        free.into_iter().chain(both).find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}
