//! Who may ask: whoever opens the socket; at an address whoever calls this machine by its name, or brings the token where
//! there is one.

use super::openai;
use super::reply::{self, Reply};
use crate::host::names_this_machine;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use sprig_transport::token::{Keeper, Verdict};
use std::net::IpAddr;
use std::time::Instant;

/// Where somebody comes from.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    /// The file system, which has asked.
    Socket,
    /// An address.
    Address(IpAddr),
}

impl Caller {
    /// What a caller is told who may not ask.
    pub(super) fn refused(
        self,
        request: &Request<Incoming>,
        keeper: Option<&Keeper>,
    ) -> Option<Response<Reply>> {
        let Self::Address(from) = self else { return None };
        let Some(keeper) = keeper else {
            // A page of the web that has its own name point here is nobody who may ask.
            let text = "ask for localhost by its name or address";
            return (!names_this_machine(request)).then(|| reply::error(StatusCode::FORBIDDEN, text));
        };
        match bearer(request.headers()).map(|token| keeper.judge(token, from, Instant::now())) {
            Some(Verdict::Right) => None,
            Some(Verdict::TooMany(seconds)) => {
                let text = "too many wrong tokens came from this address; wait a minute".to_owned();
                Some(openai::stranger(StatusCode::TOO_MANY_REQUESTS, text, Some(seconds)))
            }
            said => {
                let what =
                    if said.is_some() { "this is another token" } else { "this server asks for its token" };
                let text =
                    format!("{what}: send `Authorization: Bearer TOKEN`, which clients call the API key");
                let mut response = openai::stranger(StatusCode::UNAUTHORIZED, text, None);
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Some(response)
            }
        }
    }
}

/// The token that a request brings.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
