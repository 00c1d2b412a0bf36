//! The kinds of machine that the program is built for.

use anyhow::{Context, Result};

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Boards with a 64-bit system.
    Aarch64,
    /// Boards with a 32-bit system, which have no vector kernels.
    Armv7,
    /// This program's other one.
    X86_64,
}

impl Target {
    const ALL: [Self; 3] = [Self::Aarch64, Self::Armv7, Self::X86_64];

    /// The one whose triple this is.
    pub fn of(triple: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.triple() == triple).with_context(|| {
            format!("{triple} is not built for; what is: {}", Self::ALL.map(Self::triple).join(", "))
        })
    }

    /// As Rust calls it.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Armv7 => "armv7-unknown-linux-gnueabihf",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// As Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::Armv7 => "armhf",
            Self::X86_64 => "amd64",
        }
    }

    /// As the GNU tools call it, and Debian the folders of its libraries.
    pub fn gnu(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-linux-gnu",
            Self::Armv7 => "arm-linux-gnueabihf",
            Self::X86_64 => "x86_64-linux-gnu",
        }
    }

    /// Whether the program for it is made by another compiler than this machine's own.
    pub fn is_foreign(self) -> bool {
        self != Self::X86_64
    }

    /// The name of cargo's variable `what` of it.
    pub fn variable(self, what: &str) -> String {
        format!("CARGO_TARGET_{}_{what}", self.triple().to_uppercase().replace('-', "_"))
    }
}
