//! How Lambda judges a function's answer to a batch, where `ReportBatchItemFailures` is on:
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.

use std::collections::HashSet;

use serde_json::Value;

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is done but the messages with these ids; none: all of it.
    Done(HashSet<String>),
    /// None of it counts as done. Why, for a person.
    Failed(String),
}

/// Judges an answer. `ids` are the messages that the function was given.
///
/// Nothing reported (no answer, `null`, no list, an empty list) means all done. A report that Lambda does not
/// understand, in any one entry, fails the whole batch, for it may have named any message.
pub fn judge<'a>(answer: &[u8], ids: impl IntoIterator<Item = &'a str>) -> Verdict {
    let failed = |why: &str| Verdict::Failed(format!("the function's answer {why}"));
    if answer.trim_ascii().is_empty() {
        return Verdict::Done(HashSet::new());
    }
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return failed("is not JSON") };
    let failures = match &answer {
        Value::Null => return Verdict::Done(HashSet::new()),
        Value::Object(members) => members.get("batchItemFailures"),
        _ => return failed("is not an object"),
    };
    let failures = match failures {
        None | Some(Value::Null) => return Verdict::Done(HashSet::new()),
        Some(Value::Array(failures)) => failures,
        Some(_) => return failed("has batchItemFailures that are no list"),
    };
    let known: HashSet<&str> = ids.into_iter().collect();
    let mut reported = HashSet::with_capacity(failures.len());
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            None => return failed("reports a failure without an itemIdentifier"),
            Some("") => return failed("reports a failure with an empty itemIdentifier"),
            Some(id) if !known.contains(id) => return failed("reports a message that was not in the batch"),
            Some(id) => drop(reported.insert(id.to_owned())),
        }
    }
    Verdict::Done(reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(ids: &[&str]) -> Option<HashSet<String>> {
        Some(ids.iter().map(|&id| id.to_owned()).collect())
    }

    #[test]
    fn judges_as_lambda_documents() {
        let table = [
            // all done
            ("", done(&[])),
            (" \n", done(&[])),
            ("null", done(&[])),
            ("{}", done(&[])),
            (r#"{"batchItemFailures":null}"#, done(&[])),
            (r#"{"batchItemFailures":[]}"#, done(&[])),
            (r#"{"statusCode":200}"#, done(&[])),
            // some done
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#, done(&["b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}"#, done(&["b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}],"n":1}"#, done(&["a", "b"])),
            // nothing done
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
        for (answer, expected) in table {
            let judged = match judge(answer.as_bytes(), ["a", "b"]) {
                Verdict::Done(reported) => Some(reported),
                Verdict::Failed(_) => None,
            };
            assert_eq!(judged, expected, "{answer:?}");
        }
        assert!(matches!(judge(b"\xff", ["a"]), Verdict::Failed(_)), "no UTF-8");
    }
}
