//! What connections share, and how they read a question's body.

use crate::desk::Desk;
use crate::question::{Limits, MOST_BYTES, Refusal};
use crate::rate::Rate;
use crate::status::Status;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use sprig_transport::token::Keeper;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Time for a request's body.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is behind the door.
pub struct Behind {
    /// Where questions are laid.
    pub desk: Desk,
    /// How large they may be.
    pub limits: Limits,
    /// How many may come.
    pub rate: Rate,
    /// What is counted.
    pub status: Arc<dyn Status>,
}

/// What connections share.
pub(super) struct Shared {
    pub(super) desk: Desk,
    pub(super) limits: Limits,
    rate: Mutex<Rate>,
    pub(super) status: Arc<dyn Status>,
    pub(super) keeper: Option<Keeper>,
    pub(super) places: Arc<Semaphore>,
    /// Seconds since 1970 when the door was opened.
    pub(super) begun: u64,
    asked: AtomicU64,
}

impl Shared {
    /// For a door with so many places.
    pub(super) fn new(behind: Behind, keeper: Option<Keeper>, places: usize) -> Self {
        let Behind { desk, limits, rate, status } = behind;
        Self {
            desk,
            limits,
            rate: Mutex::new(rate),
            status,
            keeper,
            places: Arc::new(Semaphore::new(places)),
            begun: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            asked: AtomicU64::new(0),
        }
    }

    /// Takes a question, by the rate.
    pub(super) fn take(&self) -> Result<(), Refusal> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }

    /// A number for a request, which no other has.
    pub(super) fn number(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(self.begun, |since| since.as_secs())
    }
}

/// The body of a question, which says that it is JSON.
pub(super) async fn body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        // Pages of the web may send other types without asking first.
        return Err(Refusal::Bad("send application/json as Content-Type".to_owned()));
    }
    let body = timeout(PATIENCE, Limited::new(request.into_body(), MOST_BYTES).collect()).await;
    match body {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::TooLarge(format!("a question of more than {MOST_BYTES} bytes")))
        }
        Ok(Err(e)) => Err(Refusal::Bad(format!("the question broke off: {e}"))),
        Err(_) => Err(Refusal::Bad(format!("the question took longer than {} s", PATIENCE.as_secs()))),
    }
}
