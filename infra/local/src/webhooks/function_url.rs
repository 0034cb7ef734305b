//! A Function URL: turns each HTTP request into the event that Lambda would send, and the function's response into an
//! HTTP response.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use crate::function::Function;

/// Lambda's limit of an event, in bytes of its JSON.
const MAX_EVENT_BYTES: usize = 6 << 20;

/// A running server. Dropping it stops the server.
pub struct FunctionUrlServer {
    url: String,
    server: JoinHandle<()>,
}

struct Endpoint {
    function: Arc<Function>,
    free: Semaphore,
}

impl FunctionUrlServer {
    /// Starts the server. As Lambda does with a function at its reserved concurrency, it rejects requests while the
    /// function handles `concurrency` others.
    ///
    /// # Errors
    /// If the address is not available.
    pub async fn start(function: Arc<Function>, address: SocketAddr, concurrency: usize) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let endpoint = Arc::new(Endpoint { function, free: Semaphore::new(concurrency) });
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(endpoint);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the server of the Function URL has stopped");
            }
        });
        Ok(Self { url, server })
    }

    /// Returns the URL, with the slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for FunctionUrlServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Returns the header `X-Hub-Signature-256` of a body.
pub fn sign(body: &[u8], app_secret: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

async fn answer(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let Ok(_permit) = endpoint.free.try_acquire() else { return status(StatusCode::TOO_MANY_REQUESTS) };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_EVENT_BYTES).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let event = event(parts.method.as_str(), parts.uri.path(), parts.uri.query(), &parts.headers, &body).to_string();
    if event.len() > MAX_EVENT_BYTES {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let Ok(response) = endpoint.function.invoke(Bytes::from(event)).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    response_of(&response).unwrap_or_else(|| status(StatusCode::BAD_GATEWAY))
}

/// Returns the event in payload format 2.0, without the members that only AWS can fill in.
fn event(method: &str, path: &str, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut joined = BTreeMap::<_, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let entry = joined.entry(name.as_str().to_owned());
        entry.and_modify(|joined| *joined += &format!(",{value}")).or_insert_with(|| value.into_owned());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = str::from_utf8(body).ok().filter(|_| kind.starts_with("text/") || kind.contains("json"));
    let (now, host) = (Timestamp::now(), "local.lambda-url.us-east-1.on.aws");
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query.unwrap_or_default(),
        "headers": joined,
        "requestContext": {
            "accountId": "anonymous", "apiId": "local", "domainName": host, "domainPrefix": "local",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "requestId": uuid::Uuid::new_v4().to_string(), "routeKey": "$default", "stage": "$default",
            "time": now.to_string(), "timeEpoch": now.as_millisecond(),
        },
        "body": if body.is_empty() { Value::Null } else { text.map_or_else(|| BASE64_STANDARD.encode(body).into(), Value::from) },
        "isBase64Encoded": text.is_none() && !body.is_empty(),
    })
}

/// Converts the function's response to an HTTP response; `None` if Lambda would not accept it.
fn response_of(response: &[u8]) -> Option<Response> {
    let response: Value = serde_json::from_slice(response).ok()?;
    let status = u16::try_from(response.get("statusCode")?.as_u64()?).ok()?;
    let text = response.get("body").and_then(Value::as_str).unwrap_or_default();
    let is_base64 = response.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or_default();
    let body = if is_base64 { BASE64_STANDARD.decode(text).ok()? } else { text.as_bytes().to_vec() };
    let mut built = Response::builder().status(status);
    for (name, value) in response.get("headers").and_then(Value::as_object).into_iter().flatten() {
        built = built.header(name, value.as_str()?);
    }
    built.body(Body::from(body)).ok()
}

fn status(status: StatusCode) -> Response {
    (status, axum::Json(json!({"Message": status.canonical_reason()}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_has_the_body_as_lambda_passes_it_on() {
        let headers = |kind: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
        let json = event("POST", "/", Some("a=1"), &headers("application/json"), "{\"é\":1}".as_bytes());
        assert_eq!((&json["body"], &json["isBase64Encoded"]), (&json!("{\"é\":1}"), &json!(false)));
        assert_eq!(json["rawQueryString"], "a=1");
        let form = event("POST", "/", None, &headers("application/x-www-form-urlencoded"), b"a=1");
        assert_eq!((&form["body"], &form["isBase64Encoded"]), (&json!("YT0x"), &json!(true)));
        assert_eq!(event("GET", "/", None, &HeaderMap::new(), b"")["isBase64Encoded"], false);
    }

    #[test]
    fn response_without_a_status_is_a_bad_gateway() {
        assert_eq!(
            response_of(br#"{"statusCode":401,"body":"no"}"#).map(|response| response.status().as_u16()),
            Some(401)
        );
        assert!(response_of(br#"{"batchItemFailures":[]}"#).is_none() && response_of(b"null").is_none());
    }
}
