//! A quantised linear layer of the oracle whose weight is held fixed.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};

/// x \[rows, in\] → x·Wᵀ with W \[out, in\] held fixed. Candle's own product forms W's gradient even where nobody asks for
/// it: half as much arithmetic again, and a second copy of the model in memory.
pub(crate) struct Frozen(pub Tensor);

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, inputs), (outputs, _)) = (layout.shape().dims2()?, self.0.dims2()?);
        let transposed = self.0.t()?;
        let (weights, weights_layout) = transposed.storage_and_layout();
        let Storage::Cpu(weights) = &*weights else { bail!("frozen-linear runs on the CPU only") };
        let product = x.matmul(weights, (1, rows, outputs, inputs), layout, weights_layout)?;
        Ok((product, (rows, outputs).into()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.contiguous()?.matmul(&self.0).map(Some)
    }
}
