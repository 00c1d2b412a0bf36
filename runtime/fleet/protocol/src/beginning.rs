//! What a fleet begins with.

use crate::FleetError;
use crate::settings::Train;
use sprig_engine::model::Geometry;
use sprig_learn::readout::fleet::Shape;
use sprig_learn::spry::Layout;

impl Train {
    /// What devices of a model of shape `g` sum up, for a read-out.
    pub fn sums(&self, g: &Geometry) -> Option<Shape> {
        Some(self.readout?.shape(g, self.labels.len()))
    }
}

/// What a round's tasks are shares of, and the values before the first: of an adapter as it is drawn, with routers under Flow, or
/// of sums of nothing,
/// which are one group that every device has.
///
/// # Errors
/// The training does not fit a model of shape `g`.
pub fn beginning(train: &Train, g: &Geometry) -> Result<(Layout, Vec<f32>), FleetError> {
    let spec = train.trained(g)?;
    if let Some(shape) = train.sums(g) {
        return Ok((Layout::synthetic(1, shape.values()), vec![0.0; shape.values()]));
    }
    let layout = Layout::new(&spec, g)?;
    let start = layout.initial(&spec, g, train.rules().run_key);
    Ok((layout, start))
}
