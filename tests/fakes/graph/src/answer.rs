//! Answers in Graph's form.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// An answer that is still to be sent.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Why a request is refused: the status and `error.code`.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) u16, pub(crate) &'static str);

/// The code for a message class that the tenant rejects; its message names the property.
pub(crate) const CLASS_REJECTED: &str = "ErrorInvalidPropertySet";

pub(crate) type Outcome = Result<Answer, Refused>;

impl Answer {
    pub(crate) fn raw(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT), headers, body }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self::raw(status, headers, body.to_string().into_bytes())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::raw(status, Vec::new(), Vec::new())
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::error_with(status, code, "")
    }

    /// An error whose message also says this.
    pub(crate) fn error_with(status: u16, code: &str, text: &str) -> Self {
        // As Graph does, the message repeats what it should not: a client must not pass it on.
        let message = format!("{code}: the request of ada@example.com in the tenant contoso cannot be served. {text}");
        let request = Uuid::new_v4().to_string();
        let body = json!({"error": {"code": code, "message": message, "innerError": {"request-id": request}}});
        Self::json(status, &body).with("request-id", &request)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl From<Refused> for Answer {
    fn from(Refused(status, code): Refused) -> Self {
        let text = match code {
            CLASS_REJECTED => "The property 'String 0x001A' is not allowed.",
            _ => "",
        };
        Self::error_with(status, code, text)
    }
}
