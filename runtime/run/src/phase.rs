//! The program's own pages, phase by phase. What one phase runs the next does not need, and the two together would be
//! some MiB of the little that a small run holds.

use sprig_budget::{alloc, code, process};
use sprig_engine::gguf::{GgufError, Mapped};

/// What a program does first: keeps the heap and the program's pages countable, and lets an allocation that the kernel
/// refuses end the process with exit code `refused` and a line that ends in `remedy`.
pub fn begin(refused: i32, remedy: &'static str) {
    alloc::limit_arenas();
    code::divide();
    code::release();
    alloc::exit_when_refused(refused, remedy);
}

/// Runs what is not part of a step, such as writing a checkpoint, apart from what steps run: neither's pages are in
/// memory with the other's, nor is what the work had on the heap and freed (160 KiB of a checkpoint's text).
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    code::release();
    let done = work();
    code::release();
    alloc::release_free_memory();
    done
}

/// Gives back what a run leaves behind: pages of the model, code, free heap. What the next run reports is its own.
///
/// # Errors
/// What the kernel says of the file's pages.
pub fn let_go(map: &Mapped) -> Result<(), GgufError> {
    map.release(0..map.bytes().len())?;
    code::release();
    alloc::release_free_memory();
    alloc::reset_peak();
    let _ = process::reset_peak_rss(); // containers may forbid it
    Ok(())
}
