//! From a fleet's numbers to an adapter's file. The coordinator exports and a device writes through this: of the same numbers
//! both make the same bytes.

use crate::FleetError;
use crate::settings::Train;
use sprig_engine::adapter::{Adapter, AdapterMeta, Carried};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{Geometry, Transformer};
use sprig_learn::data::{Asker, Labels};
use sprig_learn::readout::fleet::adapt;
use sprig_run::Base;
use std::path::Path;

/// What makes an adapter's file of a fleet's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// What is trained.
    pub train: &'a Train,
    /// The model's shape.
    pub geometry: &'a Geometry,
    /// SHA-256 of its file, hexadecimal.
    pub model: &'a str,
    /// The labels, where the training names some.
    pub labels: Option<&'a Labels>,
}

/// The labels that `train` names, by the model's tokens; `None` where it names none. The tokenizer is there meanwhile.
///
/// # Errors
/// They cannot be answers of this model.
pub fn labels(train: &Train, base: &Base<'_>) -> Result<Option<Labels>, FleetError> {
    let options = train.recipe().records.load_options();
    if options.label_names.is_empty() {
        return Ok(None);
    }
    let asker = Asker::new(base.map.path(), &options, &base.tokenizer()?)?.labels().clone();
    Ok(Some(asker))
}

impl Export<'_> {
    /// Makes `adapter`, a new one of [`Train::adapter`], that of `values`: of trainable numbers, behind which are routers
    /// under Flow, or of a read-out's sums.
    ///
    /// # Errors
    /// They are those of another training, or sums from which nothing can be learnt.
    pub fn fill(
        &self,
        adapter: &mut Adapter,
        values: &[f32],
        model: &Transformer<'_>,
        ctx: &Ctx,
    ) -> Result<(), FleetError> {
        if let (Some(shape), Some(labels)) = (self.train.sums(self.geometry), self.labels) {
            return Ok(adapt(adapter, (values, shape), labels.tokens(), model, ctx)?);
        }
        let (own, found) = (adapter.values_mut(), values.len());
        let wanted = own.len() + self.routers()?;
        if found != wanted {
            return Err(FleetError::OtherAdapter { found, wanted });
        }
        own.copy_from_slice(&values[..own.len()]);
        Ok(())
    }

    /// Writes `adapter`, which is that of `values`, in the place of the file at `out`: a power cut leaves the old file or
    /// the whole new one.
    ///
    /// # Errors
    /// A number is not finite, or what the disk says.
    pub fn write(&self, adapter: &Adapter, values: &[f32], out: &Path) -> Result<(), FleetError> {
        let routing = self.train.trained(self.geometry)?.routing;
        let behind = values.len().saturating_sub(self.routers()?);
        let routers = routing.map(|routing| Carried {
            sees: routing.sees,
            pool: routing.pool,
            weights: values[behind..].to_vec(),
        });
        let asking = Some(self.train.recipe().records.load_options().asking(self.labels));
        let meta = AdapterMeta { asking, routers, ..AdapterMeta::of(self.geometry, self.model) };
        Ok(adapter.write(out, &meta)?)
    }

    /// Numbers of the routers behind the adapter's.
    fn routers(&self) -> Result<usize, FleetError> {
        let shared = self.train.trained(self.geometry)?.shared_routers(self.geometry);
        Ok(shared.iter().map(|router| router.range.len()).sum())
    }
}
