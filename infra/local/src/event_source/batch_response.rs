//! Lambda's evaluation of a function's response to a batch with `ReportBatchItemFailures`:
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.

use std::collections::HashSet;

use serde_json::Value;

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchResult {
    /// Every message is done except those with these ids.
    Done(HashSet<String>),
    /// No message counts as done; contains the cause.
    Failed(String),
}

/// Evaluates a response. `ids` are the messages of the batch.
///
/// A response that reports no failure (empty, `null`, no list, an empty list) means that all messages are done. One
/// invalid entry fails the whole batch, because it may have meant any message.
pub fn evaluate<'a>(response: &[u8], ids: impl IntoIterator<Item = &'a str>) -> BatchResult {
    let failed = |cause: &str| BatchResult::Failed(format!("the function's response {cause}"));
    if response.trim_ascii().is_empty() {
        return BatchResult::Done(HashSet::new());
    }
    let Ok(response) = serde_json::from_slice::<Value>(response) else { return failed("is not JSON") };
    let failures = match &response {
        Value::Null => return BatchResult::Done(HashSet::new()),
        Value::Object(members) => members.get("batchItemFailures"),
        _ => return failed("is not an object"),
    };
    let failures = match failures {
        None | Some(Value::Null) => return BatchResult::Done(HashSet::new()),
        Some(Value::Array(failures)) => failures,
        Some(_) => return failed("has batchItemFailures that is not a list"),
    };
    let batch_ids: HashSet<&str> = ids.into_iter().collect();
    let mut reported = HashSet::with_capacity(failures.len());
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            None => return failed("reports a failure without an itemIdentifier"),
            Some("") => return failed("reports a failure with an empty itemIdentifier"),
            Some(id) if !batch_ids.contains(id) => return failed("reports a message that was not in the batch"),
            Some(id) => drop(reported.insert(id.to_owned())),
        }
    }
    BatchResult::Done(reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(ids: &[&str]) -> Option<HashSet<String>> {
        Some(ids.iter().map(|&id| id.to_owned()).collect())
    }

    #[test]
    fn batch_response_is_evaluated_as_lambda_documents() {
        let table = [
            // all successful
            ("", done(&[])),
            (" \n", done(&[])),
            ("null", done(&[])),
            ("{}", done(&[])),
            (r#"{"batchItemFailures":null}"#, done(&[])),
            (r#"{"batchItemFailures":[]}"#, done(&[])),
            (r#"{"statusCode":200}"#, done(&[])),
            // some successful
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#, done(&["b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}"#, done(&["b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}],"n":1}"#, done(&["a", "b"])),
            // none successful
            ("{", None),
            ("done", None),
            (r#""done""#, None),
            ("[]", None),
            ("true", None),
            (r#"{"batchItemFailures":{}}"#, None),
            (r#"{"batchItemFailures":"a"}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":1}]}"#, None),
            (r#"{"batchItemFailures":[{"itemidentifier":"a"}]}"#, None),
            (r#"{"batchItemFailures":[{"messageId":"a"}]}"#, None),
            (r#"{"batchItemFailures":[{}]}"#, None),
            (r#"{"batchItemFailures":[null]}"#, None),
            (r#"{"batchItemFailures":["a"]}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"c"}]}"#, None),
        ];
        for (response, expected) in table {
            let evaluated = match evaluate(response.as_bytes(), ["a", "b"]) {
                BatchResult::Done(reported) => Some(reported),
                BatchResult::Failed(_) => None,
            };
            assert_eq!(evaluated, expected, "{response:?}");
        }
        assert!(matches!(evaluate(b"\xff", ["a"]), BatchResult::Failed(_)), "not UTF-8");
    }
}
