//! Lambda's events and the function's responses.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{HttpRequest, HttpResponse};

/// An event that invokes the function.
#[derive(Deserialize)]
#[serde(from = "Members")]
pub enum Event {
    /// A request to the Function URL.
    Request(HttpRequest),
    /// A batch of the queue.
    Batch(SqsEvent),
    /// Any other event.
    Unrecognized,
}

/// The members of both events. An untagged enum would keep a body of megabytes in memory twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    #[serde(rename = "Records")]
    records: Option<Vec<SqsMessage>>,
    request_context: Option<RequestContext>,
    #[serde(default)]
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<Http>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

impl From<Members> for Event {
    fn from(members: Members) -> Self {
        if let Some(records) = members.records {
            let mut event = SqsEvent::default();
            event.records = records;
            return Self::Batch(event);
        }
        let Some(http) = members.request_context.and_then(|context| context.http) else { return Self::Unrecognized };
        Self::Request(HttpRequest {
            method: http.method,
            path: members.raw_path,
            query: members.raw_query_string,
            headers: members.headers,
            body: members.body.unwrap_or_default(),
            is_base64: members.is_base64_encoded,
        })
    }
}

/// The response of the function to Lambda.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Response {
    /// The HTTP response to a request.
    Http(Value),
    /// The response to a batch: the records to redeliver.
    Batch(SqsBatchResponse),
}

impl From<HttpResponse> for Response {
    fn from(response: HttpResponse) -> Self {
        let headers = json!({"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"});
        Self::Http(
            json!({"statusCode": response.status, "headers": headers, "body": response.text, "isBase64Encoded": false}),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_recognized_by_its_shape() {
        let read = |event: Value| serde_json::from_value::<Event>(event).unwrap();
        // Payload format 2.0, from AWS's documentation, shortened.
        let request = read(json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "a=1&b=2",
            "headers": {"x-hub-signature-256": "sha256=00", "content-type": "application/json"},
            "requestContext": {"accountId": "anonymous", "apiId": "u", "authentication": null, "authorizer": null,
                "domainName": "u.lambda-url.eu-west-1.on.aws", "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "facebookexternalua"}, "timeEpoch": 1_795_166_043_000_u64},
            "body": "{}", "isBase64Encoded": false
        }));
        let Event::Request(request) = request else { panic!("not a request") };
        assert_eq!((request.method.as_str(), request.query.as_str()), ("POST", "a=1&b=2"));
        assert_eq!(request.headers["x-hub-signature-256"], "sha256=00");
        let batch = read(json!({"Records": [{"messageId": "m", "receiptHandle": "r", "body": "{}"}]}));
        assert!(matches!(batch, Event::Batch(batch) if batch.records.len() == 1));
        assert!(matches!(read(json!({"detail-type": "Scheduled Event"})), Event::Unrecognized));
    }
}
