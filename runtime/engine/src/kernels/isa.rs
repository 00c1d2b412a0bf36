//! Which vector instructions the kernels use, chosen at run time.

use super::KernelError;

/// An instruction set with its own kernels. All of them give the same bits (see [`super::matmul`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Portable Rust; the reference the others are tested against.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The same with AVX-512F, whose product tile is twice as wide.
    Avx512,
    /// ARMv8.0 NEON: Cortex-A53, A57, A72. Uses no `sdot`.
    Neon,
    /// NEON with the 8-bit dot product (`asimddp`): Cortex-A55, A76, A78.
    NeonDotprod,
}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon, Self::NeonDotprod];

    /// The one that `SPRIG_ISA` names, or the fastest one of this machine where it is absent or empty.
    ///
    /// # Errors
    /// [`KernelError::UnknownIsa`] or [`KernelError::UnavailableIsa`]: whoever asks for an instruction set wants that
    /// one, to compare it or to find a fault.
    pub fn chosen() -> Result<Self, KernelError> {
        match std::env::var_os("SPRIG_ISA") {
            Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
            _ => Ok(Self::fastest()),
        }
    }

    /// The fastest one of this machine.
    pub fn fastest() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Scalar)
    }

    fn named(name: &str) -> Result<Self, KernelError> {
        let isa: Self = name.parse()?;
        if isa.is_available() { Ok(isa) } else { Err(KernelError::UnavailableIsa { isa }) }
    }

    /// Those this machine can run, slowest first; never empty.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::arch::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::arch::Avx2::wide().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => super::arch::NeonDotprod::new().is_some(),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// Columns that tasks of a product are made of: whole tiles.
    pub(super) const fn tile_columns(self) -> usize {
        match self {
            Self::Avx512 => 32,
            Self::Scalar | Self::Avx2 | Self::Neon | Self::NeonDotprod => 16,
        }
    }

    /// Names of those this machine can run, for messages.
    pub(super) fn available_names() -> String {
        Self::available().iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")
    }

    /// The name that `SPRIG_ISA` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon-dotprod",
        }
    }
}

impl std::str::FromStr for Isa {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let known = Self::ALL.into_iter().find(|isa| isa.name() == name);
        known.ok_or_else(|| KernelError::UnknownIsa { name: name.to_owned() })
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_unknown_ones_are_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse::<Isa>().unwrap(), isa);
        }
        assert!("sse9".parse::<Isa>().is_err());
    }

    #[test]
    fn the_fastest_is_available() {
        assert!(Isa::available().contains(&Isa::fastest()));
        assert_eq!(Isa::available()[0], Isa::Scalar);
    }

    #[test]
    fn what_this_machine_lacks_is_refused_with_what_it_has() {
        assert_eq!(Isa::named("scalar"), Ok(Isa::Scalar));
        let has = Isa::available().iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        let lacking = Isa::ALL.into_iter().find(|isa| !isa.is_available()).unwrap();
        for name in ["sse9", lacking.name()] {
            let message = Isa::named(name).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(&has), "{message}");
        }
    }
}
