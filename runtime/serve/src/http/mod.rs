//! The door for programs on the same machine: HTTP/1.1 over loopback and over a socket in the file system.
//!
//! `POST /v1/answer` takes a [`Question`] and gives an [`Answer`](crate::Answer), or with `"stream": true` server-sent events:
//! `{"text"}` as it is written and the answer with `"done": true` at the end. `GET /health` says what is served. Refusals are
//! `{"error"}` with 400, 413, 429, 503 or 500.

mod reply;

use crate::desk::{Desk, Piece};
use crate::question::{Limits, MOST_BYTES, Question, Refusal};
use crate::rate::Rate;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reply::Reply;
use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// Connections at a time; more wait until one ends.
pub const MOST_CONNECTIONS: usize = 32;
/// Bytes that a connection's buffers hold at most, each way.
const BUFFER: usize = 16 << 10;
/// Time for a request's head, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest that a connection may be there.
const LONGEST: Duration = Duration::from_secs(600);
/// Stack of the door's thread.
const STACK: usize = 512 << 10;

/// Where it listens.
#[derive(Debug, Default)]
pub struct Listen {
    /// On loopback: other addresses are for doors that know who asks.
    pub loopback: Option<std::net::TcpListener>,
    /// In the file system: whoever may open the file may ask.
    pub socket: Option<UnixListener>,
}

/// An open door; dropped, it closes.
#[derive(Debug)]
pub struct Http {
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What connections share.
struct Shared {
    desk: Desk,
    limits: Limits,
    rate: Mutex<Rate>,
    places: Arc<Semaphore>,
}

/// Opens the door.
///
/// # Errors
/// The system has no thread for it.
pub fn open(listen: Listen, desk: Desk, limits: Limits, rate: Rate) -> io::Result<Http> {
    let (close, closed) = oneshot::channel();
    let shared = Arc::new(Shared {
        desk,
        limits,
        rate: Mutex::new(rate),
        places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    listen.loopback.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
    listen.socket.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
    let work = move || runtime.block_on(serve(listen, shared, closed));
    let thread = std::thread::Builder::new().name("http".to_owned()).stack_size(STACK).spawn(work)?;
    Ok(Http { close: Some(close), thread: Some(thread) })
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was told where it happened
        }
    }
}

async fn serve(listen: Listen, shared: Arc<Shared>, closed: oneshot::Receiver<()>) {
    // Both only fail without an event loop around, and there is one.
    let loopback = listen.loopback.and_then(|l| tokio::net::TcpListener::from_std(l).ok());
    let socket = listen.socket.and_then(|l| tokio::net::UnixListener::from_std(l).ok());
    let tcp = async {
        let Some(listener) = loopback else { return std::future::pending().await };
        loop {
            let place = shared.places.clone().acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => attend(stream, place, shared.clone(), true),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await, // no file descriptor left, say
            }
        }
    };
    let unix = async {
        let Some(listener) = socket else { return std::future::pending().await };
        loop {
            let place = shared.places.clone().acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => attend(stream, place, shared.clone(), false),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::select! {
        () = tcp => {}
        () = unix => {}
        _ = closed => {}
    }
}

/// Serves a connection, which gives its place back in the end.
fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    by_host: bool,
) {
    tokio::spawn(async move {
        let _place = place;
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answer(request, &shared, by_host).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong on a connection is its peer's to see.
        let _ = timeout(LONGEST, connection).await;
    });
}

async fn answer(request: Request<Incoming>, shared: &Shared, by_host: bool) -> Response<Reply> {
    if by_host && !names_this_machine(&request) {
        // A page of the web that has its own name point here is nobody who may ask.
        return reply::error(StatusCode::FORBIDDEN, "ask for localhost by its name or address");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => reply::json(
            StatusCode::OK,
            &serde_json::json!({
                "status": "ok", "context": shared.limits.context, "labels": shared.limits.labels,
            }),
        ),
        (&Method::POST, "/v1/answer") => match ask(request, shared).await {
            Ok(reply) => reply,
            Err(refusal) => reply::refusal(&refusal),
        },
        (_, "/health" | "/v1/answer") => {
            reply::error(StatusCode::METHOD_NOT_ALLOWED, "GET /health, POST /v1/answer")
        }
        (_, path) => {
            let text = format!("no {path:.64} here: GET /health, POST /v1/answer");
            reply::error(StatusCode::NOT_FOUND, &text)
        }
    }
}

async fn ask(request: Request<Incoming>, shared: &Shared) -> Result<Response<Reply>, Refusal> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        // Pages of the web may send other types without asking first.
        return Err(Refusal::Bad("send application/json as Content-Type".to_owned()));
    }
    let body = timeout(PATIENCE, Limited::new(request.into_body(), MOST_BYTES).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            return Err(Refusal::TooLarge(format!("a question of more than {MOST_BYTES} bytes")));
        }
        Ok(Err(e)) => return Err(Refusal::Bad(format!("the question broke off: {e}"))),
        Err(_) => {
            return Err(Refusal::Bad(format!("the question took longer than {} s", PATIENCE.as_secs())));
        }
    };
    let question = Question::from_json(&body)?;
    shared.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())?;
    let stream = question.stream;
    let mut pieces = shared.desk.ask(question)?;
    if stream {
        return Ok(reply::events(pieces));
    }
    loop {
        match pieces.recv().await {
            Some(Piece::Text(_)) => {}
            Some(Piece::Done(answer)) => return Ok(reply::json(StatusCode::OK, &answer)),
            Some(Piece::Refused(refusal)) => return Err(refusal),
            None => return Err(Refusal::Failed("the server is ending".to_owned())),
        }
    }
}

/// Whether a request was meant for this machine by the name it uses.
pub(crate) fn names_this_machine(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}
