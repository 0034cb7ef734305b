//! The contract, as HTTP.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State,
    fault::{self, Asked, Fault},
    lock,
    sample::{Answer, File, Stored},
};

const CHUNK: usize = 16 << 10;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/api/v1/items", get(list))
        .route("/api/v1/items/{id}", get(item))
        .route("/api/v1/items/{id}/attachments/{attachment}", get(attachment))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no_such_path"))
        .layer(from_fn_with_state(state.clone(), authenticate))
        .with_state(state)
}

async fn authenticate(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let expected = {
        let credentials = lock(&state.credentials);
        format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.username, credentials.password)))
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let latency = *lock(&state.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
        return next.run(request).await;
    }
    lock(&state.requests).refused += 1;
    let mut response = refusal(StatusCode::UNAUTHORIZED, "credentials");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"archive\""));
    response
}

#[derive(Deserialize)]
struct Window {
    from: Timestamp,
    to: Timestamp,
    network: Option<String>,
    limit: Option<u16>,
    cursor: Option<String>,
}

async fn list(
    Shared(state): Shared<Arc<State>>,
    window: Result<Query<Window>, axum::extract::rejection::QueryRejection>,
) -> Response {
    lock(&state.requests).lists += 1;
    answer(&state, Asked::List, || {
        let Ok(Query(window)) = window else { return refusal(StatusCode::BAD_REQUEST, "query") };
        page(&state, &window)
    })
    .await
}

fn page(state: &State, window: &Window) -> Response {
    let limit = window.limit.unwrap_or(1000);
    if window.from >= window.to
        || !(1..=1000).contains(&limit)
        || window.network.as_deref().is_some_and(|network| network != "whatsapp")
    {
        return refusal(StatusCode::BAD_REQUEST, "query");
    }
    let sample = &state.sample;
    let (first, end) = (sample.first_since(window.from), sample.first_since(window.to));
    // A cursor belongs to its window: the contract has the other parameters stay the same.
    let parameters = format!("{}/{}/{limit}", window.from, window.to);
    let start = match window.cursor.as_deref().map(|cursor| position(cursor, &parameters)) {
        None => first,
        Some(Some(position)) if (first..=end).contains(&position) => position,
        Some(_) => return refusal(StatusCode::BAD_REQUEST, "cursor"),
    };
    let stop = end.min(start + usize::from(limit));
    let items: Vec<Value> = (start..stop)
        .map(|index| {
            let (id, archived_time) = sample.listed(index);
            json!({"id": id, "archivedTime": format!("{archived_time:.3}")})
        })
        .collect();
    let next = (stop < end).then(|| URL_SAFE_NO_PAD.encode(format!("{stop}@{parameters}")));
    axum::Json(json!({"items": items, "nextCursor": next})).into_response()
}

fn position(cursor: &str, parameters: &str) -> Option<usize> {
    let cursor = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (position, of) = cursor.split_once('@')?;
    if of == parameters { position.parse().ok() } else { None }
}

async fn item(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    lock(&state.requests).items += 1;
    answer(&state, Asked::Item(&id), || match state.sample.find(&id) {
        Some(Stored { answer: Answer::Item(item), .. }) => axum::Json(item).into_response(),
        Some(Stored { answer: Answer::Erased, .. }) => refusal(StatusCode::GONE, "erased"),
        Some(Stored { answer: Answer::Missing, .. }) | None => refusal(StatusCode::NOT_FOUND, "no_such_item"),
    })
    .await
}

async fn attachment(
    Shared(state): Shared<Arc<State>>,
    Path((id, attachment)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    lock(&state.requests).attachments += 1;
    answer(&state, Asked::Attachment(&id), || {
        let file = state.sample.find(&id).and_then(|mut stored| stored.files.remove(&attachment));
        match file {
            Some(File::Bytes { bytes, lengthless }) => bytes_of(&headers, bytes, lengthless),
            Some(File::Generated { size, lengthless }) => {
                let mut response = stream_of(size).into_response();
                if !lengthless {
                    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
                }
                response
            }
            Some(File::Erased) => refusal(StatusCode::GONE, "erased"),
            None => refusal(StatusCode::NOT_FOUND, "no_such_attachment"),
        }
    })
    .await
}

fn bytes_of(headers: &HeaderMap, bytes: Bytes, lengthless: bool) -> Response {
    let whole = bytes.len();
    let mut response = match headers.get(header::RANGE).map(|range| part(range, whole)) {
        None if lengthless => Body::from_stream(stream::iter([Ok::<_, Infallible>(bytes)])).into_response(),
        None => bytes.into_response(),
        Some(Some((from, to))) => {
            let mut response = (StatusCode::PARTIAL_CONTENT, bytes.slice(from..=to)).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {from}-{to}/{whole}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            response
        }
        Some(None) => return refusal(StatusCode::RANGE_NOT_SATISFIABLE, "range"),
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// One range, `bytes=from-` or `bytes=from-to`, both inclusive.
fn part(range: &HeaderValue, whole: usize) -> Option<(usize, usize)> {
    let (from, to) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() { usize::MAX } else { to.parse().ok()? };
    let to = to.min(whole.checked_sub(1)?);
    (from <= to).then_some((from, to))
}

/// The bytes of a file that is made as it is sent, so that a video costs no memory: chunks that begin with their number.
pub fn generated(size: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
    (0..size.div_ceil(CHUNK as u64)).map(move |number| {
        let mut chunk = vec![0; CHUNK];
        chunk[..8].copy_from_slice(&number.to_be_bytes());
        let left = size - number * CHUNK as u64;
        chunk.truncate(usize::try_from(left).unwrap_or(CHUNK).min(CHUNK));
        chunk.into()
    })
}

fn stream_of(size: u64) -> Body {
    Body::from_stream(stream::iter(generated(size).map(Ok::<_, Infallible>)))
}

/// The contract's answer, or what a rule makes of it.
async fn answer(state: &State, asked: Asked<'_>, right: impl FnOnce() -> Response) -> Response {
    let fault = fault::take(&mut lock(&state.rules), asked);
    match fault {
        None => right(),
        Some(Fault::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = refusal(status, "as_told");
            if let Some(value) = retry_after.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Fault::Stall) => {
            let mut released = state.released.subscribe();
            // Counted for as long as it is held, also when the client hangs up.
            let _held = Held::new(state);
            // The sender lives as long as the archive.
            released.changed().await.ok();
            right()
        }
        Some(Fault::Break) => with_body(right(), |body| {
            let start = body
                .into_data_stream()
                .take(1)
                .map(|chunk| chunk.map(|chunk| chunk.slice(..chunk.len() / 2)).map_err(io::Error::other));
            Body::from_stream(start.chain(stream::iter([Err(io::Error::other("broken as told"))])))
        }),
        Some(Fault::Length(length)) => {
            let mut response = with_body(right(), |body| Body::from_stream(body.into_data_stream()));
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(Fault::Endless) => with_body(right(), |_| stream_of(u64::MAX)),
        Some(Fault::Slow(pause)) => with_body(right(), |body| {
            let pieces = body.into_data_stream().flat_map(|chunk| {
                let pieces: Vec<Result<Bytes, axum::Error>> = match chunk {
                    Ok(chunk) => (0..chunk.len())
                        .step_by(512)
                        .map(|from| Ok(chunk.slice(from..chunk.len().min(from + 512))))
                        .collect(),
                    Err(error) => vec![Err(error)],
                };
                stream::iter(pieces)
            });
            Body::from_stream(pieces.then(move |piece| async move {
                tokio::time::sleep(pause).await;
                piece
            }))
        }),
    }
}

/// Another body under the same head, of unknown length.
fn with_body(response: Response, body: impl FnOnce(Body) -> Body) -> Response {
    let (mut head, right) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, body(right))
}

struct Held<'state>(&'state State);

impl<'state> Held<'state> {
    fn new(state: &'state State) -> Self {
        state.stalled.send_modify(|stalled| *stalled += 1);
        Self(state)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.stalled.send_modify(|stalled| *stalled -= 1);
    }
}

fn refusal(status: StatusCode, code: &str) -> Response {
    let message = status.canonical_reason().unwrap_or("refused");
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}
