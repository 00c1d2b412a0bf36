//! The name by which a request calls this machine.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HOST;

/// Whether a request was meant for this machine by the name it uses.
pub(crate) fn names_this_machine(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}
