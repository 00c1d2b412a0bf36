//! A request's fields, taken one by one: what is not taken is refused by name, so that nothing is silently left out.

use crate::question::Refusal;
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Why a request gets no answer, as clients of OpenAI's interface expect it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<&'static str>,
    /// The field that is to blame.
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    /// Seconds after which it may be asked again.
    pub(crate) wait: Option<u64>,
}

/// A value as it was written: it takes no more memory than its text until somebody knows what it should be.
pub(super) type Raw = Box<RawValue>;

/// Longest text of a value that says what is done anyway.
const SHORT: usize = 64;

/// Fields that were not taken yet, behind the path of what they belong to.
pub(super) struct Fields {
    path: String,
    left: BTreeMap<String, Raw>,
}

impl Fault {
    /// One that no field is to blame for.
    pub(crate) fn new(status: StatusCode, message: String) -> Self {
        Self { status, code: None, param: None, message, wait: None }
    }

    /// A field that cannot be honoured, and why.
    pub(super) fn of(param: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let param = param.into();
        let message = format!("`{param}`: {why}");
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// `{"error": {"message", "type", "param", "code"}}`.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::UNAUTHORIZED => "authentication_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        let (status, code, param) = match refusal {
            Refusal::Bad(_) => (StatusCode::BAD_REQUEST, None, None),
            Refusal::NoModel { .. } => {
                (StatusCode::NOT_FOUND, Some("model_not_found"), Some("model".to_owned()))
            }
            Refusal::TooLarge(_) => (StatusCode::BAD_REQUEST, Some("context_length_exceeded"), None),
            Refusal::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, Some("busy"), None),
            Refusal::TooOften { .. } => (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded"), None),
            Refusal::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, None, None),
        };
        Fault { code, param, wait: refusal.wait(), ..Fault::new(status, refusal.to_string()) }
    }
}

impl Fields {
    /// Of a request's body.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Fault> {
        let left = serde_json::from_slice(body)
            .map_err(|e| Fault::new(StatusCode::BAD_REQUEST, format!("the body is no JSON object: {e}")))?;
        Ok(Self { path: String::new(), left })
    }

    /// Of a value at `path` within a body.
    pub(super) fn of_value(path: String, value: &RawValue) -> Result<Self, Fault> {
        match serde_json::from_str(value.get()) {
            Ok(left) => Ok(Self { path: path + ".", left }),
            Err(_) => Err(Fault::of(path, "give an object")),
        }
    }

    /// The full name of a field.
    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.path)
    }

    /// A field, if it is there and not null.
    pub(super) fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, Fault> {
        match self.left.remove(field).filter(|value| value.get() != "null") {
            None => Ok(None),
            Some(value) => match serde_json::from_str(value.get()) {
                Ok(value) => Ok(Some(value)),
                Err(e) => Err(Fault::of(self.name(field), e)),
            },
        }
    }

    /// A field that must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, Fault> {
        self.take(field)?.ok_or_else(|| Fault::of(self.name(field), "it is missing; give it"))
    }

    /// A field that may only say what is done anyway.
    pub(super) fn only(&mut self, field: &str, same: &[Value], why: &str) -> Result<(), Fault> {
        let Some(value) = self.left.remove(field) else { return Ok(()) };
        let short = Some(value.get()).filter(|text| text.len() <= SHORT);
        match short.and_then(|text| serde_json::from_str(text).ok()) {
            Some(value) if value == Value::Null || same.contains(&value) => Ok(()),
            _ => Err(Fault::of(self.name(field), why)),
        }
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.left.iter().find(|(_, value)| value.get() != "null") {
            None => Ok(()),
            Some((field, _)) => {
                let field: String = field.chars().take(64).collect();
                Err(Fault::of(self.name(&field), "this server does not know it; leave it out"))
            }
        }
    }
}
