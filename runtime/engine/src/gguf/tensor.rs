//! What the header says about one tensor.

use super::cursor::Cursor;
use super::error::Short;
use super::{GgufError, TensorType};

/// Most dimensions of a tensor, as in ggml.
pub const MAX_DIMS: usize = 4;
/// Longest tensor name in bytes. ggml stops at 63; adapters append suffixes to names of that length.
pub const MAX_TENSOR_NAME: u64 = 255;
/// Least bytes a tensor takes in the header: name length, dimension count, one dimension, type, offset.
pub(crate) const LEAST_TENSOR_INFO: u64 = 8 + 4 + 8 + 4 + 8;

/// Name, type and place of one tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Element type; [`TensorType::Unknown`] tensors cannot be read but do no harm.
    pub ty: TensorType,
    /// First byte, counted from the start of the data section.
    pub offset: u64,
    dims: [u64; MAX_DIMS],
    n_dims: usize,
    pub(crate) described_at: u64,
}

impl<'a> TensorInfo<'a> {
    /// Sizes in ggml order: the first runs along contiguous memory, so a linear layer is `[in, out]`.
    pub fn dims(&self) -> &[u64] {
        &self.dims[..self.n_dims]
    }

    /// Elements in one contiguous row (the input width of a linear layer).
    pub fn cols(&self) -> usize {
        self.dims[0] as usize
    }

    /// Number of contiguous rows (the output width of a linear layer); 1 for a vector.
    pub fn rows(&self) -> usize {
        self.dims[1..].iter().product::<u64>() as usize
    }

    /// Byte of the file at which the header describes this tensor, for errors.
    pub fn described_at(&self) -> u64 {
        self.described_at
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.cols() * self.rows()
    }

    /// Bytes of the data; `None` for an unknown type.
    pub fn bytes(&self) -> Option<u64> {
        let (per_block, block_bytes) = self.ty.block()?;
        // Cannot overflow: `read` checked the product of dimensions times 4, and no type has more bytes an element.
        Some(self.elements() as u64 / per_block as u64 * block_bytes as u64)
    }

    pub(crate) fn read(cursor: &mut Cursor<'a>, alignment: u64) -> Result<Self, GgufError> {
        let described_at = cursor.offset();
        let name = cursor.string(MAX_TENSOR_NAME, format_args!("tensor name"))?;
        let short = Short(name);
        let bad = |problem: String| {
            Err(GgufError::BadTensor { tensor: short.to_string(), offset: described_at, problem })
        };
        let n_dims = cursor.u32(format_args!("dimension count of tensor `{short}`"))?;
        if n_dims == 0 || n_dims as usize > MAX_DIMS {
            return bad(format!("has {n_dims} dimensions where 1 to {MAX_DIMS} are possible"));
        }
        let n_dims = n_dims as usize;
        let mut dims = [1; MAX_DIMS];
        for d in &mut dims[..n_dims] {
            *d = cursor.u64(format_args!("dimensions of tensor `{short}`"))?;
        }
        let ty = TensorType::from_id(cursor.u32(format_args!("type of tensor `{short}`"))?);
        let offset = cursor.u64(format_args!("offset of tensor `{short}`"))?;

        if dims.contains(&0) {
            return bad(format!("has an empty dimension in {:?}", &dims[..n_dims]));
        }
        let product = dims.iter().try_fold(4u64, |p, &d| p.checked_mul(d));
        if product.is_none_or(|p| p > isize::MAX as u64) {
            return bad(format!("has more elements than memory can address: {:?}", &dims[..n_dims]));
        }
        if let Some((block, _)) = ty.block()
            && !dims[0].is_multiple_of(block as u64)
        {
            return bad(format!(
                "has rows of {} elements, not a multiple of the {block} of a {ty} block",
                dims[0]
            ));
        }
        if !offset.is_multiple_of(alignment) {
            return bad(format!("has data offset {offset}, not a multiple of the alignment {alignment}"));
        }
        Ok(Self { name, ty, offset, dims, n_dims, described_at })
    }
}
