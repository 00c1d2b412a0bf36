//! What goes back over HTTP: a whole, or pieces as they come.

use crate::desk::Piece;
use crate::question::Refusal;
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
    Pieces(Option<Receiver<Piece>>),
}

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
                let piece = ready!(pieces.poll_recv(cx));
                if !matches!(piece, Some(Piece::Text(_))) {
                    *from = None;
                }
                Poll::Ready(piece.map(|piece| Ok(Frame::data(event(piece)))))
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
        Piece::Text(text) => json!({ "text": text }),
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

pub(super) fn error(status: StatusCode, text: &str) -> Response<Reply> {
    json(status, &json!({ "error": text }))
}

pub(super) fn refusal(refusal: &Refusal) -> Response<Reply> {
    let status = match refusal {
        Refusal::Bad(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = json(status, &json!({ "error": refusal.to_string() }));
    let wait = match refusal {
        Refusal::TooOften { seconds, .. } => Some(*seconds),
        Refusal::Busy(_) => Some(1),
        _ => None,
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
