//! Who may look: whoever knows the token, which a script sends with every request and a browser once, for a session.

use sprig_ground::hex;
use sprig_transport::token::{Keeper, Token, Verdict};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Instant;

/// What is asked of a request.
pub(super) struct Access {
    keeper: Keeper,
    /// What a browser is given for the token. Each start has another.
    session: String,
    /// The same, to compare with.
    known: Option<Token>,
}

impl Access {
    /// Lets those in that know `token`.
    pub(super) fn new(token: Token) -> io::Result<Self> {
        let mut random = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let session = hex::encode(&random);
        Ok(Self { keeper: Keeper::new(token), known: Token::of(&session), session })
    }

    /// Whether the token is the one, as `from` says it.
    pub(super) fn judge(&self, token: &str, from: IpAddr, now: Instant) -> Verdict {
        self.keeper.judge(token, from, now)
    }

    /// What a browser keeps for the token.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// Whether it is what a browser was given. Nobody guesses 256 bits, so that wrong ones, of an earlier start, are not counted.
    pub(super) fn is_session(&self, given: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.is(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef-_XYZ";

    #[test]
    fn each_start_has_a_session_of_its_own() {
        let start = || Access::new(Token::of(TOKEN).unwrap()).unwrap();
        let (one, other) = (start(), start());
        assert!(one.is_session(one.session()) && !one.is_session(other.session()) && !one.is_session(""));
    }
}
