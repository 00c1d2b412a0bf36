//! The routes, and the stream of events.

use super::door::Door;
use super::guard::{Guard, Peer};
use super::{Listen, changes, page};
use crate::FleetView;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{Stream, unfold};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// Patches a page may be behind before it is dropped: it then connects again and gets the whole view.
const BEHIND: usize = 16;

/// A piece of the stream: its kind and its JSON.
type Piece = (&'static str, Arc<str>);

/// What connections share.
#[derive(Clone)]
struct Shared {
    latest: watch::Receiver<Option<Arc<FleetView>>>,
    /// The view that pages have been brought to, and where they hear of the next. Under one lock, so that
    /// none is missed between the two.
    shown: Arc<Mutex<Option<Arc<FleetView>>>>,
    pieces: broadcast::Sender<Piece>,
    watchers: Arc<AtomicUsize>,
}

/// What is served, and to whom.
pub(super) struct Site {
    pub socket: std::net::TcpListener,
    pub acceptor: Option<TlsAcceptor>,
    pub door: Door,
    pub listen: Listen,
}

/// Serves until `stopped`.
pub(super) async fn serve(
    site: Site,
    latest: watch::Receiver<Option<Arc<FleetView>>>,
    watchers: Arc<AtomicUsize>,
    stopped: oneshot::Receiver<()>,
) {
    let Site { socket, acceptor, door, listen } = site;
    // Both only fail without an event loop around, and there is one.
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    let shared = Shared { latest, shown: Arc::default(), pieces: broadcast::Sender::new(BEHIND), watchers };
    tokio::spawn(pump(shared.clone(), listen.pace));
    let keep_alive = listen.stall / 3;
    let door = Arc::new(door);
    let routes = Router::new()
        .route("/", get(index))
        .route("/api/view", get(view))
        .route("/events", get(move |state| events(state, keep_alive)))
        .layer(from_fn(move |request, next| guarded(request, next, Arc::clone(&door))))
        .with_state(shared)
        .into_make_service_with_connect_info::<Peer>();
    let guard = Guard::new(listener, acceptor, listen.clients, listen.stall);
    tokio::spawn(axum::serve(guard, routes).into_future());
    // It is never sent: its sender is dropped.
    let _ = stopped.await;
}

/// Tells pages of each new view, no faster than `pace`.
async fn pump(shared: Shared, pace: Duration) {
    let mut latest = shared.latest.clone();
    while latest.changed().await.is_ok() {
        let Some(new) = latest.borrow_and_update().clone() else { continue };
        {
            let mut shown = shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.pieces.receiver_count() > 0 {
                let piece = match shown.as_deref() {
                    Some(old) if changes::continues(old, &new) => ("patch", changes::patch(old, &new)),
                    _ => ("view", changes::whole(&new)),
                };
                // An error says that the last page has just left.
                let _ = shared.pieces.send((piece.0, piece.1.into()));
            }
            *shown = Some(new);
        }
        sleep(pace).await;
    }
}

async fn index() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page::HTML.as_str()).into_response()
}

/// The view whole, for scripts.
async fn view(State(shared): State<Shared>) -> Response {
    match shared.latest.borrow().clone() {
        Some(view) => ([(header::CONTENT_TYPE, "application/json")], changes::whole(&view)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the coordinator has not begun yet\n").into_response(),
    }
}

async fn events(
    State(shared): State<Shared>,
    keep_alive: Duration,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (first, pieces) = {
        let shown = shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
        (shown.clone(), shared.pieces.subscribe())
    };
    let first: VecDeque<Piece> =
        first.map(|view| ("view", Arc::from(changes::whole(&view)))).into_iter().collect();
    let watcher = Watcher::new(shared.watchers);
    let stream = unfold((first, pieces, watcher), async |(mut first, mut pieces, watcher)| {
        let (kind, json) = match first.pop_front() {
            Some(piece) => piece,
            // One that is too far behind ends here, as does the last at the end.
            None => pieces.recv().await.ok()?,
        };
        Some((Ok(Event::default().event(kind).data(json)), (first, pieces, watcher)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(keep_alive))
}

/// Counts an open page.
struct Watcher(Arc<AtomicUsize>);

impl Watcher {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets in who may look, and sends what keeps the page to itself with every answer.
async fn guarded(request: Request<Body>, next: Next, door: Arc<Door>) -> Response {
    let mut response = door.pass(request, next).await;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, page::POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        // The form brings a policy of its own.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}
