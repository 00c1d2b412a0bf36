//! Gives bytes to everything that reads the body of a request; shared by the fuzz target and the ordinary tests.

use sprig_serve::http::read_as_each;

/// Reads `bytes` as a request of each kind; how many take them.
pub fn walk(bytes: &[u8]) -> usize {
    read_as_each(bytes).into_iter().filter(|taken| *taken).count()
}
