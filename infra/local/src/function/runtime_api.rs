//! The Runtime API of one process, as AWS documents it: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

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

use super::FunctionError;

/// An invocation, as a process is given it.
pub(super) struct Invocation {
    pub(super) id: Uuid,
    /// Milliseconds since 1970.
    pub(super) deadline_ms: u128,
    pub(super) arn: Arc<str>,
    pub(super) event: Bytes,
}

/// What a process says to its Runtime API.
pub(super) enum Said {
    /// It asks for work.
    Ready(oneshot::Sender<Invocation>),
    /// It answers the invocation that it was given last.
    Answer(Result<Bytes, FunctionError>),
    /// It cannot start.
    InitError(FunctionError),
}

/// The server of one process. Dropped, it is gone.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

/// Lambda's limit for an answer.
const MAX_ANSWER: usize = 6 * 1024 * 1024;

/// The longest text of an error that is kept, in characters.
const MAX_ERROR: usize = 1_000;

struct Process {
    said: mpsc::Sender<Said>,
    /// The invocation that waits for an answer.
    current: Mutex<Option<String>>,
}

impl RuntimeApi {
    /// Starts the server on a free port of loopback; what the process says comes out of the receiver, in order.
    pub(super) async fn start() -> std::io::Result<(Self, mpsc::Receiver<Said>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Without it Nagle's algorithm and the other side's delayed acknowledgement cost 44 ms a call.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection to the Runtime API will be slow");
            }
        });
        let (said, hear) = mpsc::channel(4);
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::max(MAX_ANSWER))
            .with_state(Arc::new(Process { said, current: Mutex::default() }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((Self { address, server }, hear))
    }

    /// What `AWS_LAMBDA_RUNTIME_API` has to be.
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
    /// Whether this is the invocation that waits for an answer; it does not, afterwards.
    fn settle(&self, id: &str) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).take_if(|current| current == id).is_some()
    }

    async fn answer(&self, id: &str, answer: Result<Bytes, FunctionError>) -> Response {
        if !self.settle(id) {
            return refuse("InvalidRequestID", "no such invocation waits for an answer");
        }
        self.say(Said::Answer(answer)).await
    }

    async fn say(&self, said: Said) -> Response {
        match self.said.send(said).await {
            Ok(()) => (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response(),
            Err(_) => gone(),
        }
    }
}

/// Waits for the next invocation. Where none comes any more, it waits until the process is killed: Lambda never answers
/// this request with anything but an invocation, and runtimes panic at what has no request id.
async fn next(State(process): State<Arc<Process>>) -> Response {
    let (give, take) = oneshot::channel();
    let asked = process.said.send(Said::Ready(give)).await;
    let (Ok(()), Ok(invocation)) = (asked, take.await) else { return pending().await };
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
        Ok(body) => process.answer(&id, Ok(body)).await,
        Err(rejection) => {
            let error = FunctionError {
                error_type: "Function.ResponseSizeTooLarge".to_owned(),
                message: format!("an answer has at most {MAX_ANSWER} bytes"),
            };
            let status = rejection.status();
            process.answer(&id, Err(error)).await;
            status.into_response()
        }
    }
}

async fn error(State(process): State<Arc<Process>>, Path(id): Path<String>, body: Bytes) -> Response {
    process.answer(&id, Err(function_error(&body))).await
}

async fn init_error(State(process): State<Arc<Process>>, body: Bytes) -> Response {
    process.say(Said::InitError(function_error(&body))).await
}

/// Reads an error as runtimes write it. One that is written otherwise is an error all the same.
fn function_error(body: &[u8]) -> FunctionError {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        error_type: Option<String>,
        error_message: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let cut = |text: Option<String>, otherwise: &str| {
        text.map_or_else(|| otherwise.to_owned(), |text| text.chars().take(MAX_ERROR).collect())
    };
    FunctionError {
        error_type: cut(body.error_type, "Unhandled"),
        message: cut(body.error_message, "the function gave no reason"),
    }
}

fn refuse(error_type: &str, message: &str) -> Response {
    let body = serde_json::json!({"errorType": error_type, "errorMessage": message});
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

/// Nobody listens any more: the process is about to be killed.
fn gone() -> Response {
    StatusCode::GONE.into_response()
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn next_invocation_is_not_answered_when_the_environment_ends() {
        let (said, mut hear) = mpsc::channel(4);
        let process = Arc::new(Process { said, current: Mutex::default() });
        let mut waiting = Box::pin(next(State(Arc::clone(&process))));
        assert!(poll!(&mut waiting).is_pending());
        drop(hear.recv().await);
        assert!(poll!(&mut waiting).is_pending(), "it was waiting when the environment ended");
        drop(hear);
        let mut late = Box::pin(next(State(process)));
        assert!(poll!(&mut late).is_pending(), "it asked after the environment ended");
    }
}
