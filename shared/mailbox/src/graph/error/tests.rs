use super::*;

fn refusal(status: u16, code: &str) -> Refusal {
    let body = format!(r#"{{"error":{{"code":"{code}","message":"…"}}}}"#);
    Refusal::new(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None, None)
}

#[test]
fn meaning_comes_from_the_code_and_else_from_the_status() {
    for (status, code, expected) in [
        (404, "Request_ResourceNotFound", Meaning::NoMailbox),
        (404, "ResourceNotFound", Meaning::NoMailbox),
        (404, "ErrorInvalidUser", Meaning::NoMailbox),
        (404, "MailboxNotEnabledForRESTAPI", Meaning::NoMailbox),
        (400, "MailboxNotEnabledForRESTAPI", Meaning::NoMailbox),
        (404, "ErrorItemNotFound", Meaning::Missing),
        (403, "ErrorAccessDenied", Meaning::Configuration),
        (403, "Whatever", Meaning::Configuration),
        (401, "InvalidAuthenticationToken", Meaning::Configuration),
        (429, "ApplicationThrottled", Meaning::Throttled),
        (503, "ErrorServerBusy", Meaning::Transient),
        (509, "Bandwidth", Meaning::Transient),
        (500, "UnknownError", Meaning::Transient),
        (409, "ErrorIrresolvableConflict", Meaning::Conflict),
        (412, "ErrorIrresolvableConflict", Meaning::Conflict),
        (507, "Whatever", Meaning::Full),
        (403, "ErrorQuotaExceeded", Meaning::Full),
        (400, "ErrorMessageSizeExceeded", Meaning::Rejected),
        (413, "Whatever", Meaning::Rejected),
        (400, "ErrorInvalidRecipients", Meaning::Rejected),
        (404, "ErrorNonExistentMailbox", Meaning::Unrecognized),
        (404, "UnknownError", Meaning::Unrecognized),
        (400, "Whatever", Meaning::Unrecognized),
        (302, "Whatever", Meaning::Configuration),
    ] {
        assert_eq!(refusal(status, code).meaning(), expected, "{status} {code}");
    }
}

#[test]
fn response_without_a_code_is_never_permanent() {
    let page = b"<html>404</html>";
    for status in 400..600 {
        let status = StatusCode::from_u16(status).unwrap();
        let error = MailboxError::from(Failure::from(Refusal::new(status, page, None, None)));
        assert!(
            matches!(
                error,
                MailboxError::Unavailable { .. }
                    | MailboxError::Unrecognized { .. }
                    | MailboxError::Configuration { .. }
            ),
            "{status}: {error:?}"
        );
    }
}

#[test]
fn filing_may_be_in_progress_when_a_gateway_responds() {
    let code = br#"{"error":{"code":"ErrorServerBusy","message":"x"}}"#;
    let late = |status, body: &[u8]| {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::from(Refusal::new(status, body, None, None)).may_be_in_progress()
    };
    for status in [408, 502, 504] {
        assert!(late(status, code) && late(status, b"<html>"), "{status}");
    }
    for status in [400, 404, 409, 412, 413, 423, 500, 503, 509] {
        assert!(!late(status, code) && late(status, b"<html>"), "{status}");
    }
    let unknown = br#"{"error":{"code":"UnknownError","message":"x"}}"#;
    for status in [500, 501, 503, 599] {
        assert!(late(status, unknown), "{status}: the code is no documented refusal");
    }
    for status in [400, 404, 409, 412, 413, 423, 507, 509] {
        assert!(!late(status, unknown), "{status}");
    }
    for status in [401, 403, 429] {
        assert!(!late(status, code) && !late(status, b"<html>"), "{status}");
    }
}

#[test]
fn unknown_outcome_keeps_the_longer_wait() {
    let wait = |requested| {
        let requested = Duration::from_secs(requested);
        let refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, b"", Some(requested), None);
        Failure::from(refusal).outcome_unknown(Duration::from_secs(60)).retry_after()
    };
    assert_eq!((wait(5), wait(600)), (Some(Duration::from_secs(60)), Some(Duration::from_secs(600))));
}

#[test]
fn error_shows_no_text_of_the_response() {
    let body = br#"{"error":{"code":"ada@example.com is not known","message":"ada@example.com"}}"#;
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, body, None, Some("a b"));
    assert!(!format!("{refusal:?}").contains("ada"));
    assert_eq!(refusal.detail(), "HTTP 400 without an error code");
}

#[test]
fn error_text_names_whole_addresses_only() {
    let body = br#"{"error":{"code":"x","message":"Recipient 'Bad.One@example.com' is invalid, two@example.com."}}"#;
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, body, None, None);
    for named in ["bad.one@example.com", "two@example.com"] {
        assert!(refusal.names_address(named), "{named}");
    }
    for other in ["one@example.com", "o@example.com", "two@example.co", "three@example.com", ""] {
        assert!(!refusal.names_address(other), "{other}");
    }
}
