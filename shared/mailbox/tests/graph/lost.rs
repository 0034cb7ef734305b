//! Lost and unreadable responses leave one copy.

use std::time::Duration;

use graph_fake::{CLIENT_SECRET, Fault, Gate, GraphFake, Kind, On, Refusal};
use mailbox::{
    Attempt, MailboxError,
    graph::{Graph, Way},
};
use model::FilingResult;

use crate::support::{
    ADA, SecretStore, assert_one_complete_copy, assert_outcome_unknown, config, file, file_with_retry, graph,
    graph_with, message, tenant,
};

/// Returns every fault with an unknown outcome; `true` if the request may still be in progress after it.
fn unclear() -> Vec<(Fault, bool)> {
    let refusals = [(500, true), (502, true), (503, true), (504, true), (509, false)];
    let refusals = refusals.map(|(status, late)| (Fault::DoAndRefuse(Refusal::new(status, "x")), late));
    refusals.into_iter().chain([(Fault::LoseResponse, true), (Fault::Reset, true)]).collect()
}

/// The methods of filing a message with one request, and the kind of that request.
const WAYS: [(Way, Kind); 2] = [(Way::Json, Kind::MessageCreate), (Way::Mime, Kind::MimeImport)];

async fn filing(way: Way) -> (GraphFake, Graph) {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = way;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    (fake, graph)
}

#[tokio::test]
async fn lost_response_leaves_one_copy() {
    let files: [(&str, &[u8]); 1] = [("a", b"a")];
    let clean = tenant().await;
    file(&graph(&clean), &message("1", &files), Attempt::Retry).await.unwrap();
    let requests = clean.requests();
    assert_eq!(requests.iter().filter(|kind| **kind == Kind::MessageCreate).count(), 1);
    for n in 1..=requests.len() {
        for (fault, _) in unclear() {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault.clone());
            let filed = file_with_retry(&graph(&fake), &message("1", &files), Attempt::Retry).await;
            assert!(filed.is_ok(), "{:?} {fault:?}: {filed:?}", requests[n - 1]);
            assert_one_complete_copy(&fake, &files);
        }
    }
}

#[tokio::test]
async fn retry_completes_a_filing_after_an_outage() {
    let clean = tenant().await;
    file(&graph(&clean), &message("1", &[]), Attempt::First).await.unwrap();
    let requests = clean.requests();
    for n in 1..=requests.len() {
        for (fault, late) in unclear() {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault);
            fake.fault(On::any().nth(n + 1).times(1000), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
            let graph = graph(&fake);
            let found = mailbox::Mailboxes::find(&graph, &ADA.parse().unwrap()).await;
            if let Ok(Some(ada)) = found {
                let filed = mailbox::Mailboxes::file(&graph, &ada, &message("1", &[]), Attempt::First).await;
                let error = filed.unwrap_err();
                assert!(matches!(error.cause(), MailboxError::Unavailable { .. }), "{error:?}");
                let waits = late && requests[n - 1] == Kind::MessageCreate;
                let settle_time = if waits { MailboxError::SETTLE_TIME } else { Duration::ZERO };
                assert_eq!(error.settle_time(), settle_time, "{:?}", requests[n - 1]);
            }
            fake.clear_faults();
            file(&graph, &message("1", &[]), Attempt::Retry).await.unwrap();
            assert_one_complete_copy(&fake, &[]);
        }
    }
}

#[tokio::test]
async fn unreadable_response_is_followed_by_a_lookup() {
    let page = Fault::Respond { status: 201, headers: Vec::new(), body: b"<html>".to_vec() };
    let endless = Fault::Respond { status: 201, headers: Vec::new(), body: vec![b' '; 17 * 1024 * 1024] };
    for fault in [page, endless] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::MessageCreate), fault);
        file_with_retry(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
        assert_one_complete_copy(&fake, &[]);
    }
}

#[tokio::test]
async fn gateway_response_counts_as_lost() {
    let page = |status| Fault::Respond { status, headers: Vec::new(), body: b"<html>".to_vec() };
    let graphs = |status| Fault::Refuse(Refusal::new(status, "UnknownError"));
    let statuses = [408, 500, 502, 503, 504];
    for fault in statuses.map(page).into_iter().chain(statuses.map(graphs)) {
        for (way, kind) in WAYS {
            let (fake, graph) = filing(way).await;
            fake.fault(On::kind(kind), fault.clone());
            assert_outcome_unknown(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
            assert_eq!(fake.count(kind), 1, "{fault:?}");
        }
    }
}

/// The connection breaks, or Graph's front end gives up, and the mailbox server executes the request after the lookup.
#[tokio::test]
async fn delayed_copy_stays_the_only_one() {
    let refused = [(500, "UnknownError"), (503, "UnknownError"), (503, "ServiceUnavailable")];
    let refused = refused.map(|(status, code)| Some(Refusal::new(status, code)));
    for refusal in refused.into_iter().chain([None]) {
        for (way, kind) in WAYS {
            let (fake, graph) = filing(way).await;
            let gate = Gate::default();
            let fault = match refusal.clone() {
                Some(refusal) => Fault::RefuseAndDoLater(refusal, gate.clone()),
                None => Fault::DoLater(gate.clone()),
            };
            fake.fault(On::kind(kind), fault);
            assert_outcome_unknown(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
            assert_eq!((fake.count(kind), fake.visible(ADA).len()), (1, 0), "it is not sent again");
            gate.open();
            gate.done(1).await;
            let filed = file(&graph, &message("1", &[]), Attempt::Retry).await.unwrap();
            assert_eq!((filed.result, fake.visible(ADA).len()), (FilingResult::Skipped, 1));
        }
    }
}

/// An earlier throttled request may have used the whole retry budget.
#[tokio::test]
async fn lost_response_delays_the_retry_without_a_retry_budget() {
    for (way, kind) in WAYS {
        let fake = tenant().await;
        fake.grant_mime_import();
        let mut config = config(&fake);
        (config.way, config.retry_budget) = (way, Duration::ZERO);
        let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
        fake.fault(On::kind(kind), Fault::LoseResponse);
        assert_outcome_unknown(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());

        fake.fault(On::kind(kind), Fault::Refuse(Refusal::new(504, "UnknownError").retry_after("600")));
        let error = file(&graph, &message("2", &[]), Attempt::First).await.unwrap_err();
        assert_eq!(error.settle_time(), Duration::from_secs(600), "the requested wait is longer");
    }
}

/// If a response is lost, the lookup often fails for the same reason.
#[tokio::test]
async fn lost_response_delays_the_retry_when_the_lookup_fails() {
    let refuse = |status, code| Fault::Refuse(Refusal::new(status, code));
    let lookup_faults =
        [Fault::Reset, refuse(503, "ErrorServerBusy"), refuse(403, "ErrorAccessDenied"), refuse(400, "x")];
    for lookup_fault in lookup_faults {
        for (way, kind) in WAYS {
            let (fake, graph) = filing(way).await;
            fake.fault(On::kind(kind), Fault::LoseResponse);
            fake.fault(On::kind(Kind::MessageSearch).times(1000), lookup_fault.clone());
            assert_outcome_unknown(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
        }
    }
    let (fake, graph) = filing(Way::Json).await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::LoseResponse);
    let throttled = Refusal::new(429, "ApplicationThrottled").retry_after("600");
    fake.fault(On::kind(Kind::MessageSearch), Fault::Refuse(throttled));
    let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
    assert_eq!(error.settle_time(), Duration::from_secs(600));
}
