//! Runtime API of one process, as AWS documents it: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::Bytes;
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

use super::error::FunctionError;

/// An invocation as a process receives it.
pub(super) struct Invocation {
    pub(super) id: Uuid,
    /// Milliseconds since 1970.
    pub(super) deadline_ms: u128,
    pub(super) arn: Arc<str>,
    pub(super) event: Bytes,
}

/// A call of a process to its Runtime API.
pub(super) enum Call {
    /// Requests the next event.
    Next(oneshot::Sender<Invocation>),
    /// The response to the last invocation.
    Response(Result<Bytes, FunctionError>),
    /// The process cannot start.
    InitError(FunctionError),
}

/// The server of one process. Dropping it stops the server.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

/// Lambda's limit for a response.
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// Error messages are cut to this length.
const MAX_ERROR_CHARS: usize = 1_000;

struct Process {
    calls: mpsc::Sender<Call>,
    /// Request id of the invocation that waits for its response.
    current: Mutex<Option<String>>,
}

impl RuntimeApi {
    /// Starts the server on a free port of loopback. The receiver returns the calls of the process in order.
    pub(super) async fn start() -> std::io::Result<(Self, mpsc::Receiver<Call>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Otherwise Nagle's algorithm and delayed acknowledgements add 44 ms to each call.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "setting TCP_NODELAY failed, the connection will be slow");
            }
        });
        let (calls, received) = mpsc::channel(4);
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::max(MAX_RESPONSE_BYTES))
            .with_state(Arc::new(Process { calls, current: Mutex::default() }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((Self { address, server }, received))
    }

    /// Returns the value for `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Process {
    /// Returns whether this invocation waits for its response, and marks it as responded.
    fn take_current(&self, id: &str) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).take_if(|current| current == id).is_some()
    }

    async fn respond(&self, id: &str, response: Result<Bytes, FunctionError>) -> Response {
        if !self.take_current(id) {
            return reject("InvalidRequestID", "no invocation with this id waits for a response");
        }
        self.report(Call::Response(response)).await
    }

    async fn report(&self, call: Call) -> Response {
        match self.calls.send(call).await {
            Ok(()) => (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response(),
            // The receiver is dropped: the process is about to be killed.
            Err(_) => StatusCode::GONE.into_response(),
        }
    }
}

/// Waits for the next invocation. After the last one it waits until the process is killed: Lambda responds to this
/// request only with an invocation, and runtimes panic on a response without a request id.
async fn next(State(process): State<Arc<Process>>) -> Response {
    let (send, receive) = oneshot::channel();
    let requested = process.calls.send(Call::Next(send)).await;
    let (Ok(()), Ok(invocation)) = (requested, receive.await) else { return pending().await };
    *process.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(invocation.id.to_string());
    let trace = format!("Root=1-00000000-{:.24}", invocation.id.simple());
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", invocation.id.to_string()),
        ("Lambda-Runtime-Deadline-Ms", invocation.deadline_ms.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", invocation.arn.to_string()),
        ("Lambda-Runtime-Trace-Id", trace),
        ("Content-Type", "application/json".to_owned()),
    ];
    (headers, invocation.event).into_response()
}

async fn response(
    State(process): State<Arc<Process>>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match body {
        Ok(body) => process.respond(&id, Ok(body)).await,
        Err(rejection) => {
            let error = FunctionError {
                error_type: "Function.ResponseSizeTooLarge".to_owned(),
                message: format!("the response exceeds the limit of {MAX_RESPONSE_BYTES} bytes"),
            };
            let status = rejection.status();
            process.respond(&id, Err(error)).await;
            status.into_response()
        }
    }
}

async fn error(State(process): State<Arc<Process>>, Path(id): Path<String>, body: Bytes) -> Response {
    process.respond(&id, Err(function_error(&body))).await
}

async fn init_error(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    process.report(Call::InitError(function_error(&body))).await
}

/// Parses an error as runtimes report it. An unrecognized body is reported as an error without details.
fn function_error(body: &[u8]) -> FunctionError {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        error_type: Option<String>,
        error_message: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let cut = |text: Option<String>, otherwise: &str| {
        text.map_or_else(|| otherwise.to_owned(), |text| text.chars().take(MAX_ERROR_CHARS).collect())
    };
    FunctionError {
        error_type: cut(body.error_type, "Unhandled"),
        message: cut(body.error_message, "the function reported no message"),
    }
}

fn reject(error_type: &str, message: &str) -> Response {
    let body = serde_json::json!({"errorType": error_type, "errorMessage": message});
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn next_invocation_gets_no_response_when_environment_ends() {
        let (calls, mut received) = mpsc::channel(4);
        let process = Arc::new(Process { calls, current: Mutex::default() });
        let mut waiting = Box::pin(next(State(Arc::clone(&process))));
        assert!(poll!(&mut waiting).is_pending());
        drop(received.recv().await);
        assert!(poll!(&mut waiting).is_pending(), "it waited when the environment ended");
        drop(received);
        let mut late = Box::pin(next(State(process)));
        assert!(poll!(&mut late).is_pending(), "it was sent after the environment ended");
    }
}
