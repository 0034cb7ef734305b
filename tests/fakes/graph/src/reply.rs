//! Responses in the format of Graph.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A response that is not sent yet.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The status and the `error.code` of a rejected request.
#[derive(Debug)]
pub(crate) struct Rejection(pub(crate) u16, pub(crate) &'static str);

/// The code for a message class that the tenant rejects. The message of the error names the property.
pub(crate) const CLASS_REJECTED: &str = "ErrorInvalidPropertySet";

/// The code for too many recipients. Graph documents no code for this error; the message names the limit.
pub(crate) const TOO_MANY_RECIPIENTS: &str = "ErrorInvalidRequest";

pub(crate) type Outcome = Result<Reply, Rejection>;

impl Reply {
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

    /// Creates an error with this text in its message.
    pub(crate) fn error_with(status: u16, code: &str, text: &str) -> Self {
        // Like Graph, the message repeats personal data, which a client must not pass on.
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

impl From<Rejection> for Reply {
    fn from(Rejection(status, code): Rejection) -> Self {
        let text = match code {
            CLASS_REJECTED => "The property 'String 0x001A' is not allowed.",
            TOO_MANY_RECIPIENTS => "The number of recipients exceeds the limit.",
            _ => "",
        };
        Self::error_with(status, code, text)
    }
}
