//! Translates the Lambda event.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use model::Window;
use serde_json::Value;

use crate::{Fetch, FetchError, Request, Started, Summary};

/// Runs once for an event.
///
/// # Errors
/// [`FetchError`] as text: the invocation fails, and the alarm `fetch-errors` goes off.
pub async fn handle(fetch: &Fetch, event: LambdaEvent<Value>) -> Result<Summary, Diagnostic> {
    run(fetch, event)
        .await
        .map_err(|error| Diagnostic { error_type: "FetchError".to_owned(), error_message: error.to_string() })
}

async fn run(fetch: &Fetch, event: LambdaEvent<Value>) -> Result<Summary, FetchError> {
    let request = request(&event.payload)?;
    let ends = i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = Timestamp::now();
    let function = event.context.env_config.function_name.clone();
    let started = Started { at, function, request_id: event.context.request_id, ends: ends.unwrap_or(at) };
    // Boxed: the unboxed future nests more deeply than the compiler allows.
    Box::pin(fetch.run(request, &started)).await
}

/// Parses the event. A backfill has `from` and `to` (RFC 3339), the run before a change of the source `"last": true`. Any
/// other JSON object counts as the timer's event.
fn request(event: &Value) -> Result<Request, FetchError> {
    let wrong = |what: &str| FetchError::Request(what.to_owned());
    let members = event.as_object().ok_or_else(|| wrong("expected a JSON object"))?;
    let time = |name: &str| -> Result<Option<Timestamp>, FetchError> {
        let Some(value) = members.get(name) else { return Ok(None) };
        let time = value.as_str().and_then(|text| text.parse().ok());
        time.map(Some).ok_or_else(|| {
            FetchError::Request(format!("`{name}` is not an RFC 3339 timestamp such as 2026-11-21T00:00:00Z"))
        })
    };
    match (time("from")?, time("to")?) {
        (None, None) => match members.get("last") {
            None | Some(Value::Bool(false)) => Ok(Request::Scheduled),
            Some(Value::Bool(true)) => Ok(Request::Last),
            Some(_) => Err(wrong("`last` is neither true nor false")),
        },
        _ if members.contains_key("last") => Err(wrong("`last` is only for a run without `from` and `to`")),
        (Some(from), Some(to)) => Ok(Request::Backfill(Window::between(from, to)?)),
        (Some(_), None) => Err(wrong("a backfill needs `from` and `to`: `to` is missing")),
        (None, Some(_)) => Err(wrong("a backfill needs `from` and `to`: `from` is missing")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_is_read_as_daily_run_or_backfill() {
        // As EventBridge Scheduler sends it when the schedule has no input of its own.
        let timer = json!({"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
            "source": "aws.scheduler", "account": "123456789012", "time": "2026-11-22T07:00:00Z", "region": "eu-north-1",
            "resources": ["arn:aws:scheduler:eu-north-1:123456789012:schedule/default/fetch"], "detail": "{}"});
        assert_eq!(request(&timer).ok(), Some(Request::Scheduled));
        assert_eq!(request(&json!({})).ok(), Some(Request::Scheduled));
        assert_eq!(request(&json!({"last": true})).ok(), Some(Request::Last));
        let backfill = request(&json!({"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00+01:00"}));
        assert!(matches!(backfill, Ok(Request::Backfill(window)) if window.to.to_string() == "2026-11-01T23:00:00Z"));
        for (event, says) in [
            (json!({"from": "2026-11-01T00:00:00Z"}), "`to` is missing"),
            (json!({"from": "yesterday", "to": "2026-11-02T00:00:00Z"}), "`from` is not an RFC 3339 timestamp"),
            (json!({"from": "2026-11-03T00:00:00Z", "to": "2026-11-02T00:00:00Z"}), "empty"),
            (json!({"last": "yes"}), "neither true nor false"),
            (
                json!({"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z", "last": true}),
                "only for a run without",
            ),
            (json!([]), "a JSON object"),
        ] {
            let error = request(&event).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
