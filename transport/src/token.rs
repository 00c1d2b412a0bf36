//! A token that lets in whoever knows it, and how often somebody may guess.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Characters of a token: letters, digits, `-` and `_`, which stand for themselves in a form and in a header.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=256;
/// Wrong tokens of one address in [`SPAN`], after which it is not listened to for the rest of it.
const FAILURES: u32 = 10;
/// See [`FAILURES`].
const SPAN: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered, at most; of more the oldest are forgotten.
const ADDRESSES: usize = 1024;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Sum);

/// Why a file has no token.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}: {problem}", path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// SHA-256 of a secret: of equal length, and worth nothing to who sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum([u8; 32]);

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl Sum {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Takes as long whatever differs.
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Token {
    /// The first line of a file that only its owner reads.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it is no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |problem: String| TokenError { path: path.to_owned(), problem };
        let io = |e: io::Error| failed(e.to_string());
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode();
        if mode & 0o077 != 0 {
            return Err(failed(format!("others may read it (mode {:o}); `chmod 600` it", mode & 0o777)));
        }
        let mut text = String::new();
        file.take(4096).read_to_string(&mut text).map_err(io)?;
        let token = text.lines().next().unwrap_or("").trim();
        Self::of(token).ok_or_else(|| {
            let (least, most) = (LENGTH.start(), LENGTH.end());
            failed(format!(
                "its first line is no token: {least} to {most} letters, digits, `-` and `_`; `openssl rand -hex 32` makes one"
            ))
        })
    }

    /// A token, if it is one.
    pub fn of(text: &str) -> Option<Self> {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (fits && LENGTH.contains(&text.len())).then(|| Self(Sum::of(text)))
    }

    /// Whether `text` is the token; it takes as long whatever differs.
    pub fn is(&self, text: &str) -> bool {
        self.0.is(&Sum::of(text))
    }
}

/// Lets those in that know a token, and bounds how often others guess.
#[derive(Debug)]
pub struct Keeper {
    token: Token,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

/// What became of a token that somebody gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Right,
    /// It is another.
    Wrong,
    /// There were too many wrong ones: none is looked at for so many seconds.
    TooMany(u64),
}

impl Keeper {
    /// Lets those in that know `token`.
    pub fn new(token: Token) -> Self {
        Self { token, failures: Mutex::default() }
    }

    /// Whether the token is the one, as `from` says it.
    pub fn judge(&self, token: &str, from: IpAddr, now: Instant) -> Verdict {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, (since, _)| now.duration_since(*since) < SPAN);
        if let Some((since, FAILURES..)) = failures.get(&from) {
            return Verdict::TooMany((SPAN - now.duration_since(*since)).as_secs() + 1);
        }
        if self.token.is(token) {
            return Verdict::Right;
        }
        if failures.len() >= ADDRESSES
            && !failures.contains_key(&from)
            && let Some(oldest) = failures.iter().min_by_key(|(_, (since, _))| *since).map(|(from, _)| *from)
        {
            failures.remove(&oldest);
        }
        failures.entry(from).or_insert((now, 0)).1 += 1;
        Verdict::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: &str = "0123456789abcdef-_XYZ";

    #[test]
    fn a_token_is_read_from_a_file_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Token::read(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read(&format!("{TOKEN}\nmore\n"), 0o600).unwrap(), Token::of(TOKEN).unwrap());
        assert!(read(TOKEN, 0o640).unwrap_err().contains("others may read it (mode 640)"));
        for text in ["", "short", "with spaces in it, so many", "ä".repeat(20).as_str(), &"x".repeat(257)] {
            let error = read(text, 0o600).unwrap_err();
            assert!(error.contains("16 to 256") && error.contains("openssl rand"), "{error}");
        }
        assert!(Token::read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
        assert!(!format!("{:?}", Token::of(TOKEN)).contains("01"), "a secret is not shown");
    }

    #[test]
    fn wrong_tokens_are_few_from_one_address_and_cost_others_nothing() {
        let access = Keeper::new(Token::of(TOKEN).unwrap());
        let (thief, owner) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        for _ in 0..FAILURES {
            assert_eq!(access.judge("guess", thief, start), Verdict::Wrong);
        }
        // From then on not even the right one is heard, so that no answer tells it.
        let later = start + SPAN / 2;
        assert_eq!(access.judge(TOKEN, thief, later), Verdict::TooMany(31));
        assert_eq!(access.judge(TOKEN, owner, later), Verdict::Right);
        assert_eq!(access.judge(TOKEN, thief, start + SPAN), Verdict::Right);
        for n in 0..2 * ADDRESSES as u32 {
            access.judge("guess", IpAddr::from(n.to_be_bytes()), later + Duration::from_millis(n.into()));
        }
        assert_eq!(access.failures.lock().unwrap().len(), ADDRESSES);
    }
}
