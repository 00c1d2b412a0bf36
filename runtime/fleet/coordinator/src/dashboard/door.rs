//! What a request has to bring: a host name that is this machine's, where others are not let in, and the token, where there is
//! one, by itself or as the session that it was given for.

use super::access::Access;
use super::guard::Peer;
use super::page;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sprig_transport::token::Verdict;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

/// Where the form sends the token.
const LOGIN: &str = "/login";
/// Bytes of a form that are read.
const FORM: usize = 1024;

/// Who is let in.
pub(super) struct Door {
    /// Whoever knows a token; everybody without.
    access: Option<Access>,
    /// Only requests for a host name of this machine's.
    only_local: bool,
    /// Whether connections are encrypted.
    encrypted: bool,
    /// Name of the session: cookies are of a host, whatever the port.
    cookie: String,
}

impl Door {
    pub(super) fn new(access: Option<Access>, only_local: bool, encrypted: bool, at: SocketAddr) -> Self {
        Self { access, only_local, encrypted, cookie: format!("sprig_session_{}", at.port()) }
    }

    /// Passes a request on, or answers it.
    pub(super) async fn pass(&self, request: Request<Body>, next: Next) -> Response {
        if self.only_local && !is_local(request.headers()) {
            return (StatusCode::FORBIDDEN, "this page is for localhost only\n").into_response();
        }
        let Some(access) = &self.access else { return next.run(request).await };
        let from = request.extensions().get::<ConnectInfo<Peer>>();
        let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(Peer(peer))| peer.ip());
        let path = request.uri().path();
        if path == LOGIN && request.method() == Method::POST {
            return self.login(access, from, request).await;
        }
        if cookies(request.headers(), &self.cookie).any(|session| access.is_session(session)) {
            return next.run(request).await;
        }
        let is_page = path == "/" || path == LOGIN;
        let Some(token) = bearer(request.headers()) else {
            return if is_page { form(StatusCode::UNAUTHORIZED, "") } else { asked() };
        };
        match access.judge(token, from, Instant::now()) {
            Verdict::Right => next.run(request).await,
            Verdict::Wrong => asked(),
            Verdict::TooMany(seconds) => {
                later((StatusCode::TOO_MANY_REQUESTS, TOO_MANY).into_response(), seconds)
            }
        }
    }

    async fn login(&self, access: &Access, from: IpAddr, request: Request<Body>) -> Response {
        let body = to_bytes(request.into_body(), FORM).await.unwrap_or_default();
        let given = std::str::from_utf8(&body).unwrap_or_default();
        // A token has only characters that stand for themselves here.
        let token = given.strip_prefix("token=").unwrap_or_default();
        match access.judge(token, from, Instant::now()) {
            Verdict::Right => {
                let secure = if self.encrypted { "; Secure" } else { "" };
                let session = access.session();
                let cookie = format!("{}={session}; Path=/; HttpOnly; SameSite=Strict{secure}", self.cookie);
                (StatusCode::SEE_OTHER, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)])
                    .into_response()
            }
            Verdict::Wrong => form(StatusCode::UNAUTHORIZED, "That is another token."),
            Verdict::TooMany(seconds) => later(form(StatusCode::TOO_MANY_REQUESTS, TOO_MANY), seconds),
        }
    }
}

const TOO_MANY: &str = "Too many wrong tokens came from here. Wait a minute.\n";

/// The form, with what is wrong.
fn form(status: StatusCode, problem: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &page::LOGIN_POLICY),
    ];
    (status, headers, page::login(problem)).into_response()
}

/// What a script is told that brings no token.
fn asked() -> Response {
    let text = "this dashboard asks for its token: send `Authorization: Bearer TOKEN`\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

fn later(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Values of the cookies called `name`.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// The token that a script sends.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the client asks for this machine by a name of its own. A web page elsewhere can have its own host
/// name resolve to 127.0.0.1 and so read what is served there; the host name then is not local.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
