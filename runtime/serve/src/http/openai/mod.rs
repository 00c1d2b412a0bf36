//! OpenAI's interface, as far as it is honoured: chats and completions, whole or in chunks, the models that answer, and beside
//! it labels with their shares. What cannot be honoured is refused by name, in the interface's own form of errors.

mod fields;
mod request;
mod shape;

use super::reply::{self, Reply};
use super::shared::{Shared, body};
use crate::desk::{Answer, Piece, Score};
use crate::question::{Question, Refusal, Task};
use fields::Fault;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Method, Request, Response, StatusCode};
use request::Asked;
use serde_json::{Value, json};
use shape::Shape;
use tokio::sync::mpsc::Receiver;

/// What is asked for at a path, where it is one of this interface.
pub(super) async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Reply> {
    let path = request.uri().path().to_owned();
    let found = match (request.method(), &*path) {
        (&Method::GET, "/v1/models") => Ok(models(shared)),
        (&Method::GET, path) if path.starts_with("/v1/models/") => {
            model(shared, &path["/v1/models/".len()..])
        }
        (&Method::POST, "/v1/chat/completions") => write(request, shared, true).await,
        (&Method::POST, "/v1/completions") => write(request, shared, false).await,
        (&Method::POST, "/v1/classify") => classify(request, shared).await,
        (method, path) => Err(nothing(method, path)),
    };
    found.unwrap_or_else(|fault| refused(&fault))
}

/// Reads a body at random: for tests that look for what a request can do.
pub(super) fn try_read(body: &[u8]) -> [bool; 3] {
    [request::chat(body, 0).is_ok(), request::completion(body, 0).is_ok(), request::class(body).is_ok()]
}

/// A refusal of whoever may not ask.
pub(super) fn stranger(status: StatusCode, message: String, wait: Option<u64>) -> Response<Reply> {
    let code = (status == StatusCode::UNAUTHORIZED).then_some("invalid_api_key");
    refused(&Fault { code, wait, ..Fault::new(status, message) })
}

fn refused(fault: &Fault) -> Response<Reply> {
    let mut response = reply::json(fault.status, &fault.body());
    if let Some(seconds) = fault.wait {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// No such thing, or not by that method.
fn nothing(method: &Method, path: &str) -> Fault {
    let known = ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/classify"];
    let (status, what) = match known.contains(&path) {
        true => (StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes no {method:.16}")),
        false => (StatusCode::NOT_FOUND, format!("no {path:.64} here")),
    };
    let message = format!(
        "{what}: GET /health, /metrics, /v1/models; POST /v1/chat/completions, /v1/completions, /v1/classify, /v1/answer"
    );
    Fault::new(status, message)
}

fn models(shared: &Shared) -> Response<Reply> {
    let each: Vec<Value> =
        shared.desk.models().iter().map(|model| listed(shared, &model.name, model.labels)).collect();
    reply::json(StatusCode::OK, &json!({ "object": "list", "data": each }))
}

fn model(shared: &Shared, name: &str) -> Result<Response<Reply>, Fault> {
    let place = shared.desk.model(Some(name)).map_err(|e| Fault::from(&e))?;
    let labels = shared.desk.models().get(place).is_some_and(|model| model.labels);
    Ok(reply::json(StatusCode::OK, &listed(shared, name, labels)))
}

fn listed(shared: &Shared, name: &str, labels: bool) -> Value {
    json!({ "id": name, "object": "model", "created": shared.begun, "owned_by": "sprig", "labels": labels })
}

/// What is asked, after its body was read and its turn has come by the rate.
async fn taken<T>(
    request: Request<Incoming>,
    shared: &Shared,
    read: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let bytes = body(request).await.map_err(|refusal| match refusal {
        // A body, not a context.
        Refusal::TooLarge(message) => Fault::new(StatusCode::PAYLOAD_TOO_LARGE, message),
        other => Fault::from(&other),
    })?;
    let asked = read(&bytes)?;
    shared.take().map_err(|e| Fault::from(&e))?;
    Ok(asked)
}

async fn write(request: Request<Incoming>, shared: &Shared, chat: bool) -> Result<Response<Reply>, Fault> {
    let number = shared.number();
    // A request without a seed is drawn for by its own number; each start of the server counts from elsewhere.
    let seed = shared.begun.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    let read =
        |bytes: &[u8]| if chat { request::chat(bytes, seed) } else { request::completion(bytes, seed) };
    let Asked { question, usage } = taken(request, shared, read).await?;
    let place = shared.desk.model(question.model.as_deref()).map_err(|e| Fault::from(&e))?;
    let scores = matches!(&question.task, Task::Completion(asked) if asked.scores.is_some());
    let shape = Shape {
        chat,
        id: format!("{}-{:x}-{number:x}", if chat { "chatcmpl" } else { "cmpl" }, shared.begun),
        created: shared.now(),
        model: shared.desk.models().get(place).map(|model| model.name.clone()).unwrap_or_default(),
        scores,
        usage,
    };
    let stream = question.stream;
    let mut pieces = shared.desk.ask(question).map_err(|e| Fault::from(&e))?;
    if !stream {
        let (answer, scores) = whole(pieces).await?;
        return Ok(reply::json(StatusCode::OK, &shape.whole(&answer, &scores)?));
    }
    // What is refused at once is refused by its status.
    match pieces.recv().await {
        None => Err(Fault::from(&Refusal::Failed("the server is ending".to_owned()))),
        Some(Piece::Refused(refusal)) => Err(Fault::from(&refusal)),
        Some(first) => Ok(reply::stream(first, pieces, Box::new(shape.stream()))),
    }
}

async fn classify(request: Request<Incoming>, shared: &Shared) -> Result<Response<Reply>, Fault> {
    let question: Question = taken(request, shared, request::class).await?;
    let place = shared.desk.model(question.model.as_deref()).map_err(|e| Fault::from(&e))?;
    let pieces = shared.desk.ask(question).map_err(|e| Fault::from(&e))?;
    let (answer, _) = whole(pieces).await?;
    let shares: Vec<Value> = answer
        .labels
        .iter()
        .map(|label| json!({ "label": label.label, "share": label.probability }))
        .collect();
    let model = shared.desk.models().get(place).map(|model| &*model.name);
    let value = json!({
        "object": "classification", "model": model, "label": answer.text, "shares": shares, "cut": answer.cut,
        "usage": { "prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens },
    });
    Ok(reply::json(StatusCode::OK, &value))
}

/// All of an answer.
async fn whole(mut pieces: Receiver<Piece>) -> Result<(Answer, Vec<Score>), Fault> {
    let mut scores = Vec::new();
    loop {
        match pieces.recv().await {
            Some(Piece::Text(part)) => scores.extend(part.scores),
            Some(Piece::Done(answer)) => return Ok((answer, scores)),
            Some(Piece::Refused(refusal)) => return Err(Fault::from(&refusal)),
            None => return Err(Fault::from(&Refusal::Failed("the server is ending".to_owned()))),
        }
    }
}
