//! Classification of errors.

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Refusal, User};
use mailbox::{
    Attempt, MailboxError, Mailboxes,
    entra::Cloud,
    graph::{ConfigError, Graph, GraphConfig},
};

use crate::support::{
    ADA, SecretStore, assert_one_complete_copy, assert_outcome_unknown, bytes, config, file, graph, mailbox, message,
    tenant,
};

/// Returns the variant's name.
fn variant(error: &MailboxError) -> &'static str {
    match error.cause() {
        MailboxError::Unavailable { .. } => "unavailable",
        MailboxError::Configuration { .. } => "setup",
        MailboxError::Rejected { .. } => "rejected",
        MailboxError::Full => "full",
        MailboxError::Unrecognized { .. } => "unrecognized",
        MailboxError::NoMailbox { .. } => "no mailbox",
        MailboxError::LookupRejected { .. } => "lookup rejected",
        MailboxError::OutcomeUnknown { .. } => "outcome unknown",
    }
}

#[tokio::test]
async fn error_of_a_filing_is_classified_by_its_code() {
    for (status, code, expected) in [
        (400, "ErrorInvalidRecipients", "rejected"),
        (400, "ErrorMessageSizeExceeded", "rejected"),
        (400, "ErrorAttachmentSizeLimitExceeded", "rejected"),
        (413, "RequestEntityTooLarge", "rejected"),
        (403, "ErrorAccessDenied", "setup"),
        (401, "InvalidAuthenticationToken", "setup"),
        (507, "ErrorQuotaExceeded", "full"),
        (400, "ErrorQuotaExceeded", "full"),
        (404, "MailboxNotEnabledForRESTAPI", "no mailbox"),
        (404, "ErrorInvalidUser", "no mailbox"),
        (503, "ErrorMailboxStoreUnavailable", "unavailable"),
        (500, "UnknownError", "unavailable"),
        (400, "ErrorSomethingNew", "unrecognized"),
        (400, "UnknownError", "unrecognized"),
        (404, "UnknownError", "unrecognized"),
        (404, "ErrorNonExistentMailbox", "unrecognized"),
        (404, "ErrorItemNotFound", "unrecognized"),
        (405, "ErrorSomethingNew", "unrecognized"),
        (409, "ErrorIrresolvableConflict", "unrecognized"),
        (412, "ErrorIrresolvableConflict", "unrecognized"),
    ] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::MessageCreate).times(1000), Fault::Refuse(Refusal::new(status, code)));
        let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
        assert_eq!(variant(&error), expected, "{status} {code}: {error}");
        assert!(expected == "full" || error.to_string().contains(code), "{error}");
    }
}

/// Each request for a large message fails once with an error that is on no list.
#[tokio::test]
async fn unrecognized_error_is_retried_and_the_copy_is_filed() {
    let big = bytes(1, 4_200_000);
    let files: [(&str, &[u8]); 2] = [("video.mp4", &big), ("whatsapp-item.json", b"{}")];
    let kinds = [Kind::MessageCreate, Kind::AttachmentList, Kind::SessionCreate, Kind::Upload, Kind::MessageMove];
    for kind in kinds {
        for (status, code) in [(412, "ErrorIrresolvableConflict"), (404, "UnknownError"), (404, "ErrorItemNotFound")] {
            let fake = tenant().await;
            fake.fault(On::kind(kind), Fault::Refuse(Refusal::new(status, code)));
            let filed = file(&graph(&fake), &message("1", &files), Attempt::First).await;
            assert!(filed.is_ok(), "{kind:?} {status} {code}: {filed:?}");
            assert_one_complete_copy(&fake, &files);
            assert_eq!(fake.messages(ADA).len(), 1, "{kind:?} {status} {code}");
        }
    }
}

/// A gateway's error page does not show whether Graph executed the request: no second create before the wait.
#[tokio::test]
async fn error_page_without_a_code_delays_the_retry() {
    for status in [400, 404, 405, 409, 412, 413, 418, 423] {
        let fake = tenant().await;
        let page = Fault::Respond { status, headers: Vec::new(), body: b"<html>".to_vec() };
        fake.fault(On::kind(Kind::MessageCreate).times(1000), page);
        let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
        assert_eq!(variant(&error), "unrecognized", "{status}: {error}");
        assert!(error.to_string().contains(&format!("HTTP {status}")), "{error}");
        assert_outcome_unknown(&error);
        assert_eq!(fake.count(Kind::MessageCreate), 1, "{status}");
    }
}

#[tokio::test]
async fn permanent_error_is_not_retried() {
    for (status, code) in [(507, "ErrorQuotaExceeded"), (400, "ErrorMessageSizeExceeded"), (403, "ErrorAccessDenied")] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::MessageCreate).times(1000), Fault::Refuse(Refusal::new(status, code)));
        assert!(file(&graph(&fake), &message("1", &[]), Attempt::First).await.is_err());
        assert_eq!(fake.count(Kind::MessageCreate), 1, "{code}");
    }
}

#[tokio::test]
async fn full_mailbox_is_recognized_for_small_and_large_messages() {
    let fake = tenant().await;
    fake.add(User::new("full@example.com").quota(100));
    let graph = graph(&fake);
    let full = mailbox(&graph, "full@example.com").await;
    for size in [10_000, 5_000_000] {
        let big = bytes(1, size);
        let error = graph.file(&full, &message("1", &[("a", &big)]), Attempt::First).await.unwrap_err();
        assert_eq!(variant(&error), "full", "{error:?}");
    }
}

#[tokio::test]
async fn mailbox_removed_after_its_lookup_is_reported_missing() {
    let fake = tenant().await;
    fake.add(User::new("gone@example.com"));
    let graph = graph(&fake);
    let gone = mailbox(&graph, "gone@example.com").await;
    fake.remove("gone@example.com");
    let error = graph.file(&gone, &message("1", &[]), Attempt::First).await.unwrap_err();
    assert_eq!(variant(&error), "no mailbox");
}

#[tokio::test]
async fn invalid_message_is_rejected_without_a_request() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    fake.forget_requests();
    for hostile in [
        &b""[..],
        b"\0\0\0",
        b"Date: tomorrow\r\n\r\nx",
        &[0xff; 4096],
        b"Date: Sun, 99 Nov 2026 99:00:00 +9900\r\n\r\nx",
    ] {
        let mut message = message("1", &[]);
        message.mime = bytes::Bytes::copy_from_slice(hostile).into();
        assert_eq!(variant(&graph.file(&ada, &message, Attempt::First).await.unwrap_err()), "rejected");
    }
    assert_eq!(fake.requests(), []);
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = tenant().await;
    for kind in [Kind::Token, Kind::UserByName, Kind::MessageCreate] {
        let fake = tenant().await;
        let headers = vec![("location".to_owned(), other.url().to_owned())];
        fake.fault(On::kind(kind), Fault::Respond { status: 307, headers, body: Vec::new() });
        let graph = graph(&fake);
        let found = graph.find(&ADA.parse().unwrap()).await;
        let error = match found {
            Ok(found) => graph.file(&found.unwrap(), &message("1", &[]), Attempt::First).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(variant(&error), "setup", "{kind:?}: {error:?}");
    }
    assert_eq!(other.requests(), []);
}

#[tokio::test]
async fn unreachable_host_is_a_transient_failure() {
    let fake = tenant().await;
    let mut config = config(&fake);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.graph_url = Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    config.login_url = config.graph_url.clone();
    drop(listener);
    let graph = crate::support::graph_with(config, SecretStore::with(CLIENT_SECRET));
    let error = graph.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert_eq!(variant(&error), "unavailable");
    assert!(error.to_string().contains("no connection"), "{error}");
}

#[test]
fn invalid_configuration_is_rejected() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let with = |change: fn(&mut GraphConfig)| {
        let mut config = GraphConfig::new(Cloud::Global, "contoso.example", "b7d0e1a2");
        change(&mut config);
        Graph::new(config, SecretStore::with("s")).err()
    };
    assert_eq!(with(|_| {}), None);
    assert_eq!(with(|config| config.tenant_id = "a/b".into()), Some(ConfigError::Id { which: "tenant" }));
    assert_eq!(with(|config| config.tenant_id = "..".into()), Some(ConfigError::Id { which: "tenant" }));
    assert_eq!(with(|config| config.client_id = String::new()), Some(ConfigError::Id { which: "client" }));
    assert_eq!(with(|config| config.folder = " ".into()), Some(ConfigError::Folder));
    assert_eq!(with(|config| config.message_class = "IPM Note".into()), Some(ConfigError::MessageClass));
    assert_eq!(with(|config| config.requests_per_mailbox = 0), Some(ConfigError::Requests));
    assert_eq!(
        with(|config| config.graph_url = "http://graph.example".parse().ok()),
        Some(ConfigError::Host { which: "Graph" })
    );
}
