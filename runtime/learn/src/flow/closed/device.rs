//! A device's two halves as rows of the last block, and its own path and router fitted to them.

use super::local::{Local, MOST_EXAMPLES};
use super::path::{Paths, Row};
use super::router::Router;
use crate::data::{DataSet, Target};
use crate::error::LearnError;
use crate::flow::halves;
use crate::minibatch::Minibatch;
use crate::session::{LastRows, Session};
use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, Group};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Module, Transformer};

/// Rows of the examples that the local path learns from, and of those that the router does.
#[derive(Debug)]
pub struct Halves {
    /// The first half.
    pub local: Vec<Row>,
    /// The second.
    pub shared: Vec<Row>,
}

/// What a device derives.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Its own path.
    pub local: Local,
    /// Who chooses.
    pub router: Router,
}

impl Halves {
    /// What a device of up to `examples` examples holds beside passes of `batch`, and what for; there are `classes` labels.
    pub fn needs(g: &Geometry, examples: usize, batch: usize, classes: usize) -> Vec<(&'static str, Bytes)> {
        let rows = examples.min(2 * MOST_EXAMPLES) * (4 * (g.ffn + 2 * g.width) + size_of::<Row>());
        let half = examples.div_ceil(2).min(MOST_EXAMPLES);
        vec![
            ("rows of the answers", Bytes(rows as u64) + LastRows::bytes(g, batch)),
            ("their fit", Local::bytes(half, g.ffn, classes).max(Bytes((8 * half * half) as u64))),
            ("read-outs", Bytes((4 * classes * (3 * g.ffn + g.width)) as u64)),
        ]
    }

    /// Passes over the examples `ids` of `data`, `batch` at a time, with `adapter`, which adds nothing yet and says what
    /// its router looks at. `tick` is told how many examples are read; `None` when it says stop. Of a half no more than
    /// [`MOST_EXAMPLES`] are read.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn read(
        (session, adapter): (&mut Session<'_>, &Adapter),
        data: &DataSet,
        ids: &[usize],
        (seed, batch): (u64, usize),
        tick: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>, LearnError> {
        let (first, second) = halves(ids, seed);
        let g = *session.model().geometry();
        let (ffn, width) = (g.ffn, g.width);
        let mut rows = LastRows::new(&g, batch);
        let mut found = [Vec::new(), Vec::new()];
        let mut read = 0;
        for (half, ids) in found.iter_mut().zip([first, second]) {
            for part in ids[..ids.len().min(MOST_EXAMPLES)].chunks(batch) {
                let examples = Minibatch::new(data, part);
                session.last_rows(examples, Some(adapter), &mut rows)?;
                for (e, (_, example)) in examples.examples().enumerate() {
                    let Target::Label { answer, .. } = example.target else { continue };
                    half.push(Row {
                        gated: rows.gated[e * ffn..][..ffn].to_vec(),
                        stream: rows.stream[e * width..][..width].to_vec(),
                        seen: session.features()[e * width..][..width].to_vec(),
                        answer,
                    });
                }
                read += part.len();
                if !tick(read) {
                    return Ok(None);
                }
            }
        }
        let [local, shared] = found;
        Ok(Some(Self { local, shared }))
    }

    /// Fits the device's own path and its router, and puts them into `adapter`, whose global part is the read-out that all
    /// share; `None` where that is none: its scores have to move each its own label.
    pub fn fit(
        &self,
        adapter: &mut Adapter,
        labels: &[u32],
        model: &Transformer<'_>,
        ctx: &Ctx,
    ) -> Option<Derived> {
        adapter.begin_local();
        let site = adapter.site(model.geometry().blocks - 1, Module::Down, false)?;
        let up = site.up.values.iter().map(|v| v * site.scale).collect();
        let mut paths = Paths::new(model, ctx, (site.down.values.to_vec(), up), labels);
        if !paths.are_scores() {
            return None;
        }
        let local = Local::fit(&paths, &self.local);
        paths.local.clone_from(&local.weights);
        let router = Router::fit(&paths, &self.shared);
        let (own, routing) = (adapter.range(Group::Local), adapter.range(Group::Router));
        adapter.values_mut()[own][..local.weights.len()].copy_from_slice(&local.weights);
        if routing.len() == router.weights.len() {
            adapter.values_mut()[routing].copy_from_slice(&router.weights);
        }
        Some(Derived { local, router })
    }
}
