//! Operands: a weight matrix in GGUF blocks, and strided views of f32 rows.

use super::KernelError;
use crate::gguf::TensorType;
use std::ops::Range;

/// A weight matrix of `rows` outputs by `cols` inputs, row-major in GGUF blocks, borrowed from the file map.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    ty: TensorType,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Checks that `bytes` is exactly `rows` × `cols` elements of a type the kernels read.
    ///
    /// # Errors
    /// [`KernelError`] for an unknown type, a row that is not whole blocks, or another byte length.
    pub fn new(ty: TensorType, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self, KernelError> {
        let (block_len, block_bytes) = ty.block().ok_or(KernelError::UnknownType(ty))?;
        if !cols.is_multiple_of(block_len) {
            return Err(KernelError::PartialBlock { ty, cols, block_len });
        }
        let row_bytes = (cols / block_len).checked_mul(block_bytes);
        let expected = row_bytes.and_then(|row| row.checked_mul(rows));
        match (row_bytes, expected) {
            (Some(row_bytes), Some(n)) if n == bytes.len() => Ok(Self { ty, rows, cols, row_bytes, bytes }),
            _ => Err(KernelError::ByteLength { ty, rows, cols, bytes: bytes.len() }),
        }
    }

    /// A view of f32 values, row-major.
    ///
    /// # Errors
    /// [`KernelError::ByteLength`] unless `data` has `rows` × `cols` elements.
    pub fn from_f32(rows: usize, cols: usize, data: &'a [f32]) -> Result<Self, KernelError> {
        Self::new(TensorType::F32, rows, cols, bytemuck::cast_slice(data))
    }

    /// Element type.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// Rows, which are the outputs of the product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row, which are the inputs of the product.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The blocks of all rows.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows of `range`, in place.
    ///
    /// # Panics
    /// If `range` does not lie within the rows.
    pub fn row_slice(&self, range: Range<usize>) -> Matrix<'a> {
        assert!(range.start <= range.end && range.end <= self.rows, "{range:?} of {} rows", self.rows);
        let bytes = &self.bytes[range.start * self.row_bytes..range.end * self.row_bytes];
        Matrix { rows: range.len(), bytes, ..*self }
    }

    /// The blocks of row `index`.
    pub(super) fn row(&self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.row_bytes..][..self.row_bytes]
    }
}

/// `rows` rows of `cols` f32, `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> Rows<'a> {
    /// Dense rows.
    ///
    /// # Panics
    /// If `data` is not exactly `rows` × `cols` elements.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows} rows of {cols}");
        Self { data, rows, cols, stride: cols }
    }

    /// Rows that start `stride` elements apart: a band of columns of a wider matrix.
    ///
    /// # Panics
    /// If rows overlap or reach past `data`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check_extent(data.len(), rows, cols, stride);
        Self { data, rows, cols, stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from the start of one row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &'a [f32] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        &self.data[index * self.stride..][..self.cols]
    }

    /// Rows of `range`.
    pub fn slice(&self, range: Range<usize>) -> Rows<'a> {
        assert!(range.start <= range.end && range.end <= self.rows, "{range:?} of {} rows", self.rows);
        let data = if range.is_empty() { &[] } else { &self.data[range.start * self.stride..] };
        Rows { data, rows: range.len(), ..*self }
    }

    /// From the first element of the first row.
    pub(super) fn data(&self) -> &'a [f32] {
        self.data
    }

    pub(super) fn as_ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }
}

/// `rows` writable rows of `cols` f32, `stride` elements apart.
#[derive(Debug)]
pub struct RowsMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> RowsMut<'a> {
    /// Dense rows.
    ///
    /// # Panics
    /// If `data` is not exactly `rows` × `cols` elements.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows} rows of {cols}");
        Self { data, rows, cols, stride: cols }
    }

    /// Rows that start `stride` elements apart.
    ///
    /// # Panics
    /// If rows overlap or reach past `data`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        check_extent(data.len(), rows, cols, stride);
        Self { data, rows, cols, stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements from the start of one row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `index`.
    pub fn row_mut(&mut self, index: usize) -> &mut [f32] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        &mut self.data[index * self.stride..][..self.cols]
    }

    /// The same rows under a shorter borrow.
    pub fn reborrow(&mut self) -> RowsMut<'_> {
        RowsMut { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.data.as_mut_ptr()
    }
}

/// What a product does with its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Write {
    /// y = product.
    Set,
    /// y = y + scale · product; one multiplication, then one addition.
    Add {
        /// Factor of the product.
        scale: f32,
    },
    /// The chain of the product starts at y instead of 0: a sum that is cut in parts has the bits of the whole.
    Continue,
}

fn check_extent(len: usize, rows: usize, cols: usize, stride: usize) {
    assert!(cols <= stride, "rows of {cols} overlap at stride {stride}");
    let need = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
    assert!(need <= len, "{rows} rows of {cols} at stride {stride} need {need} elements, not {len}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_geometry_is_refused() {
        let bytes = [0u8; 40];
        assert!(Matrix::new(TensorType::Q4_1, 2, 32, &bytes).is_ok());
        assert!(matches!(
            Matrix::new(TensorType::Q4_1, 2, 31, &bytes),
            Err(KernelError::PartialBlock { cols: 31, block_len: 32, .. })
        ));
        assert!(matches!(Matrix::new(TensorType::Q4_1, 1, 32, &bytes), Err(KernelError::ByteLength { .. })));
        assert!(matches!(
            Matrix::new(TensorType::F32, usize::MAX / 2, 8, &bytes),
            Err(KernelError::ByteLength { .. })
        ));
        let foreign = TensorType::from_id(99);
        assert!(matches!(Matrix::new(foreign, 2, 32, &bytes), Err(KernelError::UnknownType(_))));
    }

    #[test]
    #[should_panic(expected = "need 11 elements")]
    fn rows_past_the_end_are_refused() {
        Rows::strided(&[0.0; 10], 3, 3, 4);
    }
}
