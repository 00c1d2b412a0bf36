//! The door for whoever looks after a service: `GET /metrics` says what it counts, as OpenMetrics, and `GET /healthz` whether
//! it is well: 200, or 503 with the reason.

use crate::host::names_this_machine;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// Connections at a time; more wait until one ends.
pub const MOST_CONNECTIONS: usize = 8;
/// Bytes of a request's head at most, and of a connection's buffers each way.
pub const MOST_HEAD: usize = 8 << 10;
/// Time for a request's head.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that a connection may be there: scrapers come again.
const LONGEST: Duration = Duration::from_secs(60);
/// Stack of the door's thread.
const STACK: usize = 256 << 10;

/// The media type of OpenMetrics.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What is asked. Answers come at once, or nearly: whoever asks next waits for them.
pub trait Status: Send + Sync {
    /// Whether all is well; why not, if not.
    fn health(&self) -> Result<(), String>;

    /// What it counts, as OpenMetrics.
    fn metrics(&self) -> String;
}

/// Why the door stays closed.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The address is none, or taken.
    #[error("cannot serve metrics at {address}: {source}; use another `metrics` address")]
    Bind {
        /// As in the settings.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The address is reached from other machines.
    #[error(
        "metrics at {address} could be read by other machines, without password: use 127.0.0.1, or allow it with \
         `metrics_beyond_loopback = true`"
    )]
    BeyondLoopback {
        /// As in the settings.
        address: String,
    },
    /// No thread or event loop can be had.
    #[error("cannot serve metrics: {0}")]
    Start(io::Error),
}

/// Takes the address, which is of the loopback unless others are allowed.
///
/// # Errors
/// See [`StatusError`].
pub fn bind(address: &str, beyond_loopback: bool) -> Result<TcpListener, StatusError> {
    let failed = |source| StatusError::Bind { address: address.to_owned(), source };
    let found: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    if !beyond_loopback && found.iter().any(|a| !a.ip().is_loopback()) {
        return Err(StatusError::BeyondLoopback { address: address.to_owned() });
    }
    TcpListener::bind(&found[..]).map_err(failed)
}

/// An open door; dropped, it closes.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Opens the door.
///
/// # Errors
/// The system has no thread for it.
pub fn open(
    listener: TcpListener,
    beyond_loopback: bool,
    status: Arc<dyn Status>,
) -> Result<Door, StatusError> {
    let address = listener.local_addr().map_err(StatusError::Start)?;
    listener.set_nonblocking(true).map_err(StatusError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(StatusError::Start)?;
    let (close, closed) = oneshot::channel();
    let work = move || runtime.block_on(serve(listener, !beyond_loopback, status, closed));
    let thread = std::thread::Builder::new().name("metrics".to_owned()).stack_size(STACK).spawn(work);
    Ok(Door { address, close: Some(close), thread: Some(thread.map_err(StatusError::Start)?) })
}

impl Door {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was told where it happened
        }
    }
}

async fn serve(
    listener: TcpListener,
    only_local: bool,
    status: Arc<dyn Status>,
    closed: oneshot::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let accept = async {
        // It only fails without an event loop around, and there is one.
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        loop {
            let place = places.clone().acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => attend(stream, place, status.clone(), only_local),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await, // no file descriptor left, say
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = closed => {}
    }
}

/// Serves a connection, which gives its place back in the end.
fn attend(
    stream: tokio::net::TcpStream,
    place: Option<OwnedSemaphorePermit>,
    status: Arc<dyn Status>,
    only_local: bool,
) {
    tokio::spawn(async move {
        let _place = place;
        let service = service_fn(move |request: Request<Incoming>| {
            let status = status.clone();
            async move {
                // A page of the web that has its own name point here is nobody who may ask.
                let reply = match only_local && !names_this_machine(&request) {
                    true => {
                        let text = "ask for localhost by its name or address\n";
                        reply(StatusCode::FORBIDDEN, TEXT, text.to_owned())
                    }
                    false => answer(request.method(), request.uri().path(), &*status),
                };
                Ok::<_, Infallible>(reply)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(MOST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong on a connection is its peer's to see.
        let _ = timeout(LONGEST, connection).await;
    });
}

fn answer(method: &Method, path: &str, status: &dyn Status) -> Response<Full<Bytes>> {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => reply(StatusCode::OK, OPENMETRICS, status.metrics()),
        (&Method::GET | &Method::HEAD, "/healthz") => match status.health() {
            Ok(()) => reply(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Err(why) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        (_, "/metrics" | "/healthz") => reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET alone\n".to_owned()),
        _ => reply(StatusCode::NOT_FOUND, TEXT, "GET /metrics, GET /healthz\n".to_owned()),
    }
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Fake(AtomicBool);

    impl Status for Fake {
        fn health(&self) -> Result<(), String> {
            if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err("the broker is away".to_owned()) }
        }

        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }
    }

    /// The first line of an answer, and its body.
    fn ask(address: SocketAddr, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = String::new();
        // A door that is asked too much may close before it has heard all.
        let _ = write!(stream, "{request}\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    #[test]
    fn the_door_tells_health_and_metrics_to_this_machine() {
        let fake = Arc::new(Fake::default());
        let door = open(bind("127.0.0.1:0", false).unwrap(), false, fake.clone()).unwrap();
        let get = |path: &str| ask(door.address(), &format!("GET {path} HTTP/1.1\r\nHost: localhost"));
        assert_eq!(get("/metrics"), ("HTTP/1.1 200 OK".to_owned(), "# EOF\n".to_owned()));
        let (line, body) = get("/healthz");
        assert_eq!((&*line, &*body), ("HTTP/1.1 503 Service Unavailable", "the broker is away\n"));
        fake.0.store(true, Ordering::Relaxed);
        assert_eq!(get("/healthz").0, "HTTP/1.1 200 OK");
        assert_eq!(get("/else").0, "HTTP/1.1 404 Not Found");
        let post = ask(door.address(), "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0");
        assert_eq!(post.0, "HTTP/1.1 405 Method Not Allowed");
        let rebound = ask(door.address(), "GET /metrics HTTP/1.1\r\nHost: evil.example");
        assert_eq!(rebound.0, "HTTP/1.1 403 Forbidden");
        let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(2 * MOST_HEAD));
        let (line, body) = ask(door.address(), &long);
        assert!(!line.contains(" 200 ") && body.is_empty(), "{line}");
    }

    #[test]
    fn others_reach_it_only_where_they_are_allowed() {
        assert!(matches!(bind("0.0.0.0:0", false), Err(StatusError::BeyondLoopback { .. })));
        assert!(bind("0.0.0.0:0", true).is_ok());
        let taken = bind("127.0.0.1:0", false).unwrap();
        let again = bind(&taken.local_addr().unwrap().to_string(), false);
        assert!(matches!(again, Err(StatusError::Bind { .. })));
    }
}
