//! The door for programs: HTTP/1.1 over an address, of this machine's own or, encrypted and for who knows a token, of others,
//! and over a socket in the file system.
//!
//! `POST /v1/answer` takes a [`Question`] and gives an [`Answer`](crate::Answer), or with `"stream": true` server-sent events:
//! `{"text"}` as it is written and the answer with `"done": true` at the end. `GET /health` says what is served, `GET /metrics`
//! what is counted. Refusals are `{"error"}` with 400, 404, 413, 429, 503 or 500. What else begins with `/v1/` is OpenAI's
//! interface (`openai`).

mod caller;
mod openai;
mod reply;
mod shared;

pub use shared::Behind;
pub use sprig_transport::tls::TlsAcceptor;

use crate::desk::Piece;
use crate::question::{Question, Refusal};
use caller::Caller;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use reply::Reply;
use shared::{Shared, body};
use sprig_transport::token::Keeper;
use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

/// Connections at a time; more wait until one ends.
pub const MOST_CONNECTIONS: usize = 32;
/// Bytes that a connection's buffers hold at most, each way.
const BUFFER: usize = 16 << 10;
/// Time for a request's head, and for a handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest that a connection may be there.
const LONGEST: Duration = Duration::from_secs(600);
/// Stack of the door's thread.
const STACK: usize = 512 << 10;

/// Where it listens.
#[derive(Default)]
pub struct Listen {
    /// At an address.
    pub address: Option<Address>,
    /// In the file system: whoever may open the file may ask.
    pub socket: Option<UnixListener>,
}

/// An address, and what is asked of those who come there.
pub struct Address {
    /// It. Beyond loopback it wants both of what follows, which whoever opens the door sees to.
    pub listener: std::net::TcpListener,
    /// Whoever brings its token may ask; without it, whoever calls this machine by its own name.
    pub keeper: Option<Keeper>,
    /// Encrypts.
    pub tls: Option<TlsAcceptor>,
}

/// An open door; dropped, it closes.
#[derive(Debug)]
pub struct Http {
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Opens the door.
///
/// # Errors
/// The system has no thread for it.
pub fn open(listen: Listen, behind: Behind) -> io::Result<Http> {
    let (close, closed) = oneshot::channel();
    let (address, keeper) = match listen.address {
        Some(Address { listener, keeper, tls }) => (Some((listener, tls)), keeper),
        None => (None, None),
    };
    let shared = Arc::new(Shared::new(behind, keeper, MOST_CONNECTIONS));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let socket = listen.socket;
    address.as_ref().map_or(Ok(()), |(listener, _)| listener.set_nonblocking(true))?;
    socket.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
    let work = move || runtime.block_on(serve(address, socket, shared, closed));
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

async fn serve(
    address: Option<(std::net::TcpListener, Option<TlsAcceptor>)>,
    socket: Option<UnixListener>,
    shared: Arc<Shared>,
    closed: oneshot::Receiver<()>,
) {
    // Both only fail without an event loop around, and there is one.
    let address = address.and_then(|(l, tls)| Some((tokio::net::TcpListener::from_std(l).ok()?, tls)));
    let socket = socket.and_then(|l| tokio::net::UnixListener::from_std(l).ok());
    let tcp = async {
        let Some((listener, tls)) = address else { return std::future::pending().await };
        loop {
            let place = shared.places.clone().acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, from)) => {
                    let (caller, shared) = (Caller::Address(from.ip()), shared.clone());
                    match tls.clone() {
                        None => attend(stream, place, shared, caller),
                        Some(tls) => {
                            tokio::spawn(async move {
                                // What goes wrong on a connection is its peer's to see.
                                if let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await {
                                    attend(stream, place, shared, caller);
                                }
                            });
                        }
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await, // no file descriptor left, say
            }
        }
    };
    let unix = async {
        let Some(listener) = socket else { return std::future::pending().await };
        loop {
            let place = shared.places.clone().acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => attend(stream, place, shared.clone(), Caller::Socket),
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
    caller: Caller,
) {
    tokio::spawn(async move {
        let _place = place;
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answer(request, &shared, caller).await) }
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

async fn answer(request: Request<Incoming>, shared: &Shared, caller: Caller) -> Response<Reply> {
    if let Some(refused) = caller.refused(&request, shared.keeper.as_ref()) {
        return refused;
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => reply::json(
            StatusCode::OK,
            &serde_json::json!({
                "status": "ok", "context": shared.limits.context, "labels": shared.limits.labels,
                "models": shared.desk.models().iter().map(|model| &*model.name).collect::<Vec<_>>(),
            }),
        ),
        (&Method::GET, "/metrics") => reply::metrics(shared.status.metrics()),
        (&Method::POST, "/v1/answer") => match ask(request, shared).await {
            Ok(reply) => reply,
            Err(refusal) => reply::refusal(&refusal),
        },
        (_, "/health" | "/metrics" | "/v1/answer") => {
            reply::error(StatusCode::METHOD_NOT_ALLOWED, "GET /health, GET /metrics, POST /v1/answer")
        }
        _ => openai::answer(request, shared).await,
    }
}

async fn ask(request: Request<Incoming>, shared: &Shared) -> Result<Response<Reply>, Refusal> {
    let question = Question::from_json(&body(request).await?)?;
    shared.take()?;
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

/// Reads `body` as each kind of request, and says which it is: for tests with any bytes at all.
pub fn read_as_each(body: &[u8]) -> Vec<bool> {
    let mut found = openai::try_read(body).to_vec();
    found.push(Question::from_json(body).is_ok());
    found
}
