//! HTTP handlers of the retrieval API.

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
    fault::{self, Fault, Requested},
    sample::{File, ItemResponse, Stored},
    state::{State, lock},
};

const CHUNK_BYTES: usize = 16 << 10;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/api/v1/items", get(list))
        .route("/api/v1/items/{id}", get(item))
        .route("/api/v1/items/{id}/attachments/{attachment}", get(attachment))
        .fallback(async || error_response(StatusCode::NOT_FOUND, "no_such_path"))
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
        let mut response = next.run(request).await;
        let ahead = *lock(&state.clock_ahead);
        let date = (Timestamp::now() + ahead).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        // Otherwise the server adds the header.
        if let Ok(date) = HeaderValue::from_str(&date)
            && !ahead.is_zero()
        {
            response.headers_mut().insert(header::DATE, date);
        }
        return response;
    }
    lock(&state.requests).rejected += 1;
    let mut response = error_response(StatusCode::UNAUTHORIZED, "credentials");
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
    respond(&state, Requested::List, || {
        let Ok(Query(window)) = window else { return error_response(StatusCode::BAD_REQUEST, "query") };
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
        return error_response(StatusCode::BAD_REQUEST, "query");
    }
    let sample = &state.sample;
    let (first, end) = (sample.first_since(window.from), sample.first_since(window.to));
    // The contract requires the other parameters to stay the same, so a cursor is valid for its window only.
    let parameters = format!("{}/{}/{limit}", window.from, window.to);
    let start = match window.cursor.as_deref().map(|cursor| position(cursor, &parameters)) {
        None => first,
        Some(Some(position)) if (first..=end).contains(&position) => position,
        Some(_) => return error_response(StatusCode::BAD_REQUEST, "cursor"),
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
    let (position, cursor_parameters) = cursor.split_once('@')?;
    if cursor_parameters == parameters { position.parse().ok() } else { None }
}

async fn item(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Response {
    lock(&state.requests).items += 1;
    respond(&state, Requested::Item(&id), || match state.sample.find(&id) {
        Some(Stored { response: ItemResponse::Item(item), .. }) => axum::Json(item).into_response(),
        Some(Stored { response: ItemResponse::Erased, .. }) => error_response(StatusCode::GONE, "erased"),
        Some(Stored { response: ItemResponse::Missing, .. }) | None => {
            error_response(StatusCode::NOT_FOUND, "no_such_item")
        }
    })
    .await
}

async fn attachment(
    Shared(state): Shared<Arc<State>>,
    Path((id, attachment)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    lock(&state.requests).attachments += 1;
    respond(&state, Requested::Attachment(&id), || {
        let file = state.sample.find(&id).and_then(|mut stored| stored.files.remove(&attachment));
        match file {
            Some(File::Bytes { bytes, chunked }) => bytes_response(&headers, bytes, chunked),
            Some(File::Generated { size, chunked }) => {
                let mut response = generated_body(size).into_response();
                if !chunked {
                    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
                }
                response
            }
            Some(File::Erased) => error_response(StatusCode::GONE, "erased"),
            None => error_response(StatusCode::NOT_FOUND, "no_such_attachment"),
        }
    })
    .await
}

fn bytes_response(headers: &HeaderMap, bytes: Bytes, chunked: bool) -> Response {
    let whole = bytes.len();
    let mut response = match headers.get(header::RANGE).map(|range| parse_range(range, whole)) {
        None if chunked => Body::from_stream(stream::iter([Ok::<_, Infallible>(bytes)])).into_response(),
        None => bytes.into_response(),
        Some(Some((from, to))) => {
            let mut response = (StatusCode::PARTIAL_CONTENT, bytes.slice(from..=to)).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {from}-{to}/{whole}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            response
        }
        Some(None) => return error_response(StatusCode::RANGE_NOT_SATISFIABLE, "range"),
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// Parses one range, `bytes=from-` or `bytes=from-to`, both inclusive.
fn parse_range(range: &HeaderValue, whole: usize) -> Option<(usize, usize)> {
    let (from, to) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() { usize::MAX } else { to.parse().ok()? };
    let to = to.min(whole.checked_sub(1)?);
    (from <= to).then_some((from, to))
}

/// Generates a file's bytes while it is sent, so that a video needs no memory. Each chunk begins with its number.
pub fn generated(size: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
    (0..size.div_ceil(CHUNK_BYTES as u64)).map(move |number| {
        let mut chunk = vec![0; CHUNK_BYTES];
        chunk[..8].copy_from_slice(&number.to_be_bytes());
        let left = size - number * CHUNK_BYTES as u64;
        chunk.truncate(usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES));
        chunk.into()
    })
}

fn generated_body(size: u64) -> Body {
    Body::from_stream(stream::iter(generated(size).map(Ok::<_, Infallible>)))
}

/// Sends the response of the contract, or the injected fault instead.
async fn respond(state: &State, requested: Requested<'_>, normal: impl FnOnce() -> Response) -> Response {
    let fault = fault::take(&mut lock(&state.rules), requested);
    match fault {
        None => normal(),
        Some(Fault::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = error_response(status, "injected_fault");
            if let Some(value) = retry_after.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Fault::Stall) => {
            let mut released = state.released.subscribe();
            // Counted for as long as it is held, also if the client disconnects.
            let _stalled = StalledRequest::new(state);
            // The sender lives as long as the server.
            released.changed().await.ok();
            normal()
        }
        Some(Fault::Break) => with_body(normal(), |body| {
            let start = body
                .into_data_stream()
                .take(1)
                .map(|chunk| chunk.map(|chunk| chunk.slice(..chunk.len() / 2)).map_err(io::Error::other));
            Body::from_stream(start.chain(stream::iter([Err(io::Error::other("injected connection failure"))])))
        }),
        Some(Fault::Length(length)) => {
            let mut response = with_body(normal(), |body| Body::from_stream(body.into_data_stream()));
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(Fault::Endless) => with_body(normal(), |_| generated_body(u64::MAX)),
        Some(Fault::Slow(pause)) => with_body(normal(), |body| {
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

/// Replaces the body and removes its declared length.
fn with_body(response: Response, body: impl FnOnce(Body) -> Body) -> Response {
    let (mut head, original) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, body(original))
}

struct StalledRequest<'state>(&'state State);

impl<'state> StalledRequest<'state> {
    fn new(state: &'state State) -> Self {
        state.stalled.send_modify(|stalled| *stalled += 1);
        Self(state)
    }
}

impl Drop for StalledRequest<'_> {
    fn drop(&mut self) {
        self.0.stalled.send_modify(|stalled| *stalled -= 1);
    }
}

fn error_response(status: StatusCode, code: &str) -> Response {
    let message = status.canonical_reason().unwrap_or("refused");
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}
