//! The examples of a run.

use sprig_budget::Bytes;
use sprig_learn::confusion::Confusion;
use sprig_learn::data::{DataSet, RECORD_BYTES};
use sprig_learn::workload::Workload;

/// Encoded examples.
pub struct Data {
    /// What is learnt from.
    pub train: DataSet,
    /// What is judged by.
    pub held_out: Option<DataSet>,
}

impl Data {
    /// Most candidates of an example; 0 where completions are learnt.
    pub fn candidates(&self) -> usize {
        std::iter::once(&self.train).chain(&self.held_out).map(candidates).max().unwrap_or(0)
    }

    /// `work` with what only the data tell: the longest example, the most candidates, the bytes.
    pub fn measure(&self, work: Workload) -> Workload {
        let sets = || std::iter::once(&self.train).chain(&self.held_out);
        // With it, for labels, which of them were given.
        let judged = sets().map(Confusion::bytes).max().unwrap_or(0);
        let data = sets().map(DataSet::bytes).sum::<usize>();
        let second = self.held_out.as_ref().map_or(0, |set| self.train.bytes() + set.reading());
        let reading = self.train.reading().max(second).saturating_sub(data + RECORD_BYTES);
        Workload {
            length: sets().map(DataSet::longest).max().unwrap_or(0),
            candidates: self.candidates(),
            data: Bytes((data + judged) as u64),
            reading: Bytes(reading as u64),
            ..work
        }
    }
}

/// Most candidates of an example.
fn candidates(data: &DataSet) -> usize {
    (0..data.len()).map(|i| data.candidates(i)).max().unwrap_or(0)
}
