//! Answers that never come, or that nobody can read: one copy all the same.

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Refusal};
use import::mailbox::{Attempt, MailboxError, graph::Way};
use item::FilingResult;

use crate::support::{
    ADA, Vault, assert_one_complete_copy, config, file, file_at_last, graph, graph_with, message, tenant,
};

/// Every way of not knowing whether it was done.
fn unclear() -> Vec<Fault> {
    let refusals = [500, 502, 503, 504, 509].map(|status| Fault::DoAndRefuse(Refusal::new(status, "x")));
    refusals.into_iter().chain([Fault::LoseAnswer, Fault::Reset]).collect()
}

#[tokio::test]
async fn one_copy_is_made_whichever_answer_is_lost() {
    let files: [(&str, &[u8]); 1] = [("a", b"a")];
    let clean = tenant().await;
    file(&graph(&clean), &message("1", &files), Attempt::Again).await.unwrap();
    let requests = clean.requests();
    assert_eq!(requests.iter().filter(|kind| **kind == Kind::MessageCreate).count(), 1);
    for n in 1..=requests.len() {
        for fault in unclear() {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault.clone());
            let filed = file_at_last(&graph(&fake), &message("1", &files), Attempt::Again).await;
            assert!(filed.is_ok(), "{:?} {fault:?}: {filed:?}", requests[n - 1]);
            assert_one_complete_copy(&fake, &files);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_for_good_leaves_work_that_another_attempt_finishes() {
    let clean = tenant().await;
    file(&graph(&clean), &message("1", &[]), Attempt::First).await.unwrap();
    let requests = clean.requests().len();
    for n in 1..=requests {
        for fault in unclear() {
            let fake = tenant().await;
            fake.fault(On::any().nth(n), fault);
            fake.fault(On::any().nth(n + 1).times(1000), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
            let graph = graph(&fake);
            let found = import::mailbox::Mailboxes::find(&graph, &ADA.parse().unwrap()).await;
            if let Ok(Some(ada)) = found {
                let filed = import::mailbox::Mailboxes::file(&graph, &ada, &message("1", &[]), Attempt::First).await;
                assert!(matches!(filed, Err(MailboxError::Unavailable { .. })), "{filed:?}");
            }
            fake.clear_faults();
            file(&graph, &message("1", &[]), Attempt::Again).await.unwrap();
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

/// A gateway gives up, and what stands behind it does not: the copy comes when nobody waits for it any more.
#[tokio::test]
async fn a_copy_that_comes_after_its_answer_stays_the_only_one() {
    for (way, kind) in [(Way::Json, Kind::MessageCreate), (Way::Mime, Kind::MimeImport)] {
        let fake = tenant().await;
        let mut config = config(&fake);
        config.way = way;
        let graph = graph_with(config, Vault::with(CLIENT_SECRET));
        let creates = fake.requests().len();
        fake.fault(On::kind(kind), Fault::Refuse(Refusal::new(504, "UnknownError")));
        let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
        assert!(matches!(error, MailboxError::Unavailable { retry_after: Some(_), .. }), "{error:?}");
        assert_eq!(fake.requests()[creates..].iter().filter(|request| **request == kind).count(), 1, "no second try");
        // Now it comes.
        file(&self::graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
        let filed = file(&graph, &message("1", &[]), Attempt::Again).await.unwrap();
        assert_eq!((filed.result, fake.visible(ADA).len()), (FilingResult::Skipped, 1));
    }
}
