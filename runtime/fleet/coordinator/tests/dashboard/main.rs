//! The dashboard from outside: over HTTP, and in a real browser.

// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod browser;
mod fake;
mod follow;
mod http;
mod page;
mod token;
