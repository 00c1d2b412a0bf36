//! What goes back over HTTP: a whole, or pieces as they come.

use crate::desk::Piece;
use crate::question::Refusal;
use crate::status::OPENMETRICS;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::Receiver;

/// A body on its way.
pub(super) enum Reply {
    Whole(Option<Bytes>),
    /// Until the last piece.
    Pieces(Option<Pieces>),
}

/// An answer in pieces.
pub(super) struct Pieces {
    /// One that came before the others.
    first: Option<Piece>,
    from: Receiver<Piece>,
    write: Write,
}

/// How a piece is written.
pub(super) type Write = Box<dyn FnMut(Piece) -> Bytes + Send>;

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(from) => {
                let Some(pieces) = from else { return Poll::Ready(None) };
                let piece = match pieces.first.take() {
                    Some(piece) => Some(piece),
                    None => ready!(pieces.from.poll_recv(cx)),
                };
                let ends = !matches!(piece, Some(Piece::Text(_)));
                let written = piece.map(|piece| Ok(Frame::data((pieces.write)(piece))));
                if ends {
                    *from = None;
                }
                Poll::Ready(written)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Pieces(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A piece as a server-sent event.
fn event(piece: Piece) -> Bytes {
    let value = match piece {
        Piece::Text(part) => json!({ "text": part.text }),
        Piece::Done(answer) => {
            let mut value = serde_json::to_value(answer).unwrap_or_default();
            value["done"] = true.into();
            value
        }
        Piece::Refused(refusal) => json!({ "error": refusal.to_string() }),
    };
    Bytes::from(format!("data: {value}\n\n"))
}

/// Pieces, as events.
pub(super) fn events(pieces: Receiver<Piece>) -> Response<Reply> {
    pieces_of(Pieces { first: None, from: pieces, write: Box::new(event) })
}

/// The same behind the `first`, as `write` has them.
pub(super) fn stream(first: Piece, from: Receiver<Piece>, write: Write) -> Response<Reply> {
    pieces_of(Pieces { first: Some(first), from, write })
}

fn pieces_of(pieces: Pieces) -> Response<Reply> {
    let mut response = Response::new(Reply::Pieces(Some(pieces)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Plain values always have a form in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Reply> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Reply::Whole(Some(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What is counted, as those who scrape it read it.
pub(super) fn metrics(text: String) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Some(Bytes::from(text))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
    response
}

pub(super) fn error(status: StatusCode, text: &str) -> Response<Reply> {
    json(status, &json!({ "error": text }))
}

pub(super) fn refusal(refusal: &Refusal) -> Response<Reply> {
    let status = match refusal {
        Refusal::Bad(_) => StatusCode::BAD_REQUEST,
        Refusal::NoModel { .. } => StatusCode::NOT_FOUND,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = json(status, &json!({ "error": refusal.to_string() }));
    if let Some(seconds) = refusal.wait() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
