//! Answers that never come, or that nobody can read: one copy all the same.

use std::time::Duration;

use graph_fake::{CLIENT_SECRET, Fault, Gate, GraphFake, Kind, On, Refusal};
use mailbox::{
    Attempt, MailboxError,
    graph::{Graph, Way},
};
use model::FilingResult;

use crate::support::{
    ADA, Vault, assert_late, assert_one_complete_copy, config, file, file_at_last, graph, graph_with, message, tenant,
};

/// Every way of not knowing whether it was done; and whether it may still be under way.
fn unclear() -> Vec<(Fault, bool)> {
    let refusals = [(500, false), (502, true), (503, false), (504, true), (509, false)];
    let refusals = refusals.map(|(status, late)| (Fault::DoAndRefuse(Refusal::new(status, "x")), late));
    refusals.into_iter().chain([(Fault::LoseAnswer, true), (Fault::Reset, true)]).collect()
}

/// Both ways of filing a message in one request, and which request that is.
const WAYS: [(Way, Kind); 2] = [(Way::Json, Kind::MessageCreate), (Way::Mime, Kind::MimeImport)];

async fn filing(way: Way) -> (GraphFake, Graph) {
    let fake = tenant().await;
    fake.grant_mime_import();
    let mut config = config(&fake);
    config.way = way;
    let graph = graph_with(config, Vault::with(CLIENT_SECRET));
    (fake, graph)
}

#[tokio::test]
async fn one_copy_is_made_whichever_answer_is_lost() {
    let files: [(&str, &[u8]); 1] = [("a", b"a")];
    let clean = tenant().await;
    file(&graph(&clean), &message("1", &files), Attempt::Retry).await.unwrap();
    let requests = clean.requests();
    assert_eq!(requests.iter().filter(|kind| **kind == Kind::MessageCreate).count(), 1);
    for n in 1..=requests.len() {
        for (fault, _) in unclear() {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault.clone());
            let filed = file_at_last(&graph(&fake), &message("1", &files), Attempt::Retry).await;
            assert!(filed.is_ok(), "{:?} {fault:?}: {filed:?}", requests[n - 1]);
            assert_one_complete_copy(&fake, &files);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_for_good_leaves_work_that_another_attempt_finishes() {
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
                let Err(MailboxError::Unavailable { retry_after, .. }) = filed else { panic!("{filed:?}") };
                let waits = late && requests[n - 1] == Kind::MessageCreate;
                assert_eq!(retry_after, waits.then_some(MailboxError::SETTLE_TIME), "{:?}", requests[n - 1]);
            }
            fake.clear_faults();
            file(&graph, &message("1", &[]), Attempt::Retry).await.unwrap();
            assert_one_complete_copy(&fake, &[]);
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_looked_into() {
    let page = Fault::Answer { status: 201, headers: Vec::new(), body: b"<html>".to_vec() };
    let endless = Fault::Answer { status: 201, headers: Vec::new(), body: vec![b' '; 17 * 1024 * 1024] };
    for fault in [page, endless] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::MessageCreate), fault);
        file_at_last(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
        assert_one_complete_copy(&fake, &[]);
    }
}

/// Nobody answers, and what was asked for goes on: the copy comes when nobody waits for it any more.
#[tokio::test]
async fn a_copy_that_comes_after_its_answer_was_lost_stays_the_only_one() {
    for (way, kind) in WAYS {
        let (fake, graph) = filing(way).await;
        let gate = Gate::default();
        fake.fault(On::kind(kind), Fault::DoLater(gate.clone()));
        assert_late(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
        assert_eq!((fake.count(kind), fake.visible(ADA).len()), (1, 0), "it is not sent again");
        gate.open();
        gate.done(1).await;
        let filed = file(&graph, &message("1", &[]), Attempt::Retry).await.unwrap();
        assert_eq!((filed.result, fake.visible(ADA).len()), (FilingResult::Skipped, 1));
    }
}

#[tokio::test]
async fn an_answer_of_nobody_who_knows_is_a_lost_one() {
    let page = |status| Fault::Answer { status, headers: Vec::new(), body: b"<html>".to_vec() };
    let graphs = |status| Fault::Refuse(Refusal::new(status, "UnknownError"));
    for fault in [page(408), page(500), page(502), page(503), page(504), graphs(408), graphs(502), graphs(504)] {
        for (way, kind) in WAYS {
            let (fake, graph) = filing(way).await;
            fake.fault(On::kind(kind), fault.clone());
            assert_late(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
            assert_eq!(fake.count(kind), 1, "{fault:?}");
        }
    }
}

/// An earlier 429 may have taken all of it.
#[tokio::test]
async fn a_lost_answer_is_waited_for_where_no_patience_is_left() {
    for (way, kind) in WAYS {
        let fake = tenant().await;
        fake.grant_mime_import();
        let mut config = config(&fake);
        (config.way, config.retry_budget) = (way, Duration::ZERO);
        let graph = graph_with(config, Vault::with(CLIENT_SECRET));
        fake.fault(On::kind(kind), Fault::LoseAnswer);
        assert_late(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());

        fake.fault(On::kind(kind), Fault::Refuse(Refusal::new(504, "UnknownError").retry_after("600")));
        let error = file(&graph, &message("2", &[]), Attempt::First).await.unwrap_err();
        let MailboxError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(600)), "what was asked for is longer");
    }
}

/// What cuts off an answer mostly cuts off the look as well.
#[tokio::test]
async fn a_lost_answer_is_waited_for_whatever_becomes_of_the_look() {
    let refuse = |status, code| Fault::Refuse(Refusal::new(status, code));
    let looks = [Fault::Reset, refuse(503, "ErrorServerBusy"), refuse(403, "ErrorAccessDenied"), refuse(400, "x")];
    for look in looks {
        for (way, kind) in WAYS {
            let (fake, graph) = filing(way).await;
            fake.fault(On::kind(kind), Fault::LoseAnswer);
            fake.fault(On::kind(Kind::MessageSearch).times(1000), look.clone());
            assert_late(&file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err());
        }
    }
    let (fake, graph) = filing(Way::Json).await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::LoseAnswer);
    let throttled = Refusal::new(429, "ApplicationThrottled").retry_after("600");
    fake.fault(On::kind(Kind::MessageSearch), Fault::Refuse(throttled));
    let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
    let MailboxError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(600)));
}
