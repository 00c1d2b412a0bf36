//! Randomness that nobody can foresee: the system's own, and no seed.

use std::io::{self, Read};

/// What the kernel gives once it has gathered enough (`getrandom`), unlike `/dev/urandom` early after a start.
pub(crate) struct System;

impl Read for System {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        getrandom::getrandom(out)?;
        Ok(out.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        let mut drawn = [[0u8; 32]; 2];
        drawn.iter_mut().for_each(|bytes| System.read_exact(bytes).unwrap());
        assert_ne!(drawn[0], drawn[1]);
    }
}
