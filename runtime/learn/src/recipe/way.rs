//! How an adapter is learnt: step by step along a gradient, or in closed form.

use super::defaults::ESTIMATOR;
use crate::estimator::Method;
use sprig_ground::names::{NameError, Named};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// How an adapter is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As [`choosing`](crate::choosing) decides, once the budget and the model are known.
    Auto,
    /// In closed form, from one plain pass: [`readout`](crate::readout).
    ReadOut,
    /// By steps along gradients.
    Steps(Method),
}

const AUTO: &str = "auto";
const READ_OUT: &str = "readout";

/// These, and the methods' names.
const ALL: [&str; Method::ALL.len() + 2] = {
    let mut names = [AUTO; Method::ALL.len() + 2];
    names[1] = READ_OUT;
    let mut i = 0;
    while i < Method::ALL.len() {
        names[i + 2] = Method::ALL[i].name();
        i += 1;
    }
    names
};

impl Way {
    /// Whose gradients it takes steps along, if it is named as one that does.
    pub const fn steps(self) -> Option<Method> {
        match self {
            Self::Auto | Self::ReadOut => None,
            Self::Steps(method) => Some(method),
        }
    }

    /// How gradients are got, where there are any; otherwise as they would be by default.
    pub fn method(self) -> Method {
        self.steps().unwrap_or(ESTIMATOR)
    }
}

impl Named for Way {
    const WHAT: &'static str = <Method as Named>::WHAT;
    const NAMES: &'static [&'static str] = &ALL;
}

impl FromStr for Way {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            AUTO => Ok(Self::Auto),
            READ_OUT => Ok(Self::ReadOut),
            name => name.parse().map(Self::Steps),
        }
    }
}

impl Display for Way {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad(AUTO),
            Self::ReadOut => f.pad(READ_OUT),
            Self::Steps(method) => method.fmt(f),
        }
    }
}
