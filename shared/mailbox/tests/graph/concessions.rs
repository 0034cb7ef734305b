//! Parts of a copy that are left out because the mail system rejects them.

use std::sync::atomic::Ordering;

use graph_fake::{CLIENT_SECRET, Fault, GraphFake, Kind, On, Quirks, Refusal};
use mailbox::{Attempt, MailboxError};

use crate::support::{
    ADA, SecretStore, assert_one_complete_copy, bytes, clock, config, file, graph, graph_with, message, message_of,
    tenant,
};

const CLASS: &str = "String 0x001A";

fn with_class(fake: &GraphFake) -> Vec<bool> {
    fake.visible(ADA).iter().map(|stored| stored.properties.contains_key(CLASS)).collect()
}

#[tokio::test]
async fn one_error_about_the_class_does_not_disable_it() {
    let fake = tenant().await;
    let rejection = Refusal::new(400, "ErrorInvalidPropertySet").with_text("'String 0x001A' is not allowed");
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(rejection));
    let graph = graph(&fake);
    for item in ["1", "2"] {
        file(&graph, &message(item, &[]), Attempt::First).await.unwrap();
    }
    assert_eq!((with_class(&fake), fake.count(Kind::MessageCreate)), (vec![true, true], 3));
}

#[tokio::test]
async fn error_that_does_not_name_the_class_never_disables_it() {
    for (status, code) in [(400, "ErrorInvalidProperty"), (400, "UnknownError"), (404, "x"), (500, "x")] {
        let fake = tenant().await;
        let graph = graph(&fake);
        fake.fault(On::kind(Kind::MessageCreate).times(1000), Fault::Refuse(Refusal::new(status, code)));
        assert!(file(&graph, &message("1", &[]), Attempt::First).await.is_err());
        fake.clear_faults();
        file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
        assert_eq!(with_class(&fake), [true], "{status} {code}");
    }
}

#[tokio::test]
async fn rejected_class_is_left_out_for_an_hour_of_the_wall_clock() {
    let counted = || runtime::metrics::counted(runtime::metrics::Metric::WithoutMessageClass);
    let before = counted();
    let (clock, passed) = clock();
    let fake = tenant().await;
    let mut config = config(&fake);
    config.clock = clock;
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    for item in ["1", "2", "3"] {
        file(&graph, &message(item, &[]), Attempt::First).await.unwrap();
    }
    assert_eq!((with_class(&fake), fake.count(Kind::MessageCreate)), (vec![false; 3], 5), "tried, confirmed, cached");
    assert_eq!(counted() - before, 3, "each copy without the class is counted");
    fake.set_quirks(Quirks::default());
    passed.store(3599, Ordering::Relaxed);
    file(&graph, &message("4", &[]), Attempt::First).await.unwrap();
    passed.store(3600, Ordering::Relaxed);
    file(&graph, &message("5", &[]), Attempt::First).await.unwrap();
    assert_eq!(with_class(&fake), [false, false, false, false, true]);
}

#[tokio::test]
async fn class_is_left_out_of_a_large_message_too() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    let big = bytes(1, 4_200_000);
    let files: [(&str, &[u8]); 1] = [("a", &big)];
    file(&graph(&fake), &message("1", &files), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &files);
    assert_eq!(with_class(&fake), [false]);
}

#[tokio::test]
async fn thread_is_left_out_if_the_tenant_rejects_it() {
    for name in ["String 0x1042", "Binary 0x0071", "PidTagConversationTopic"] {
        let fake = tenant().await;
        let refusal =
            Refusal::new(400, "ErrorInvalidProperty").with_text(&format!("The property {name} is not valid."));
        fake.fault(On::kind(Kind::MessageCreate).times(2), Fault::Refuse(refusal));
        file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
        let [stored] = &fake.visible(ADA)[..] else { panic!("one message") };
        let threads = ["0x1042", "0x1039", "0x0071", "0x0070"];
        assert!(!stored.properties.keys().any(|id| threads.iter().any(|thread| id.ends_with(thread))), "{name}");
    }
}

fn recipients(count: usize, invalid: &[usize]) -> (String, Vec<String>) {
    let address = |at: usize| format!("p{at}@whatsapp.invalid");
    let all: Vec<_> = (0..count).map(address).collect();
    (all.join(",\r\n "), invalid.iter().map(|&at| address(at)).collect())
}

#[tokio::test]
async fn rejected_recipient_among_many_is_left_out_of_the_copy() {
    for invalid in [&[0][..], &[1099], &[555], &[3, 4, 777]] {
        let fake = tenant().await;
        let (to, rejected) = recipients(1100, invalid);
        rejected.iter().for_each(|address| fake.reject_recipient(address));
        let graph = graph(&fake);
        let sender = "4520123456@whatsapp.invalid";
        file(&graph, &message_of("1", sender, &to, &[]), Attempt::First).await.unwrap();
        let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
        assert!(stored.visible && stored.to.len() == 1100 - invalid.len());
        assert!(!stored.to.iter().any(|(_, address)| rejected.contains(address)));
        assert_eq!(stored.from.as_ref().map(|(_, address)| address.as_str()), Some(sender));
        assert!(stored.body.contains(&format!("{} of 1100 recipients", invalid.len())), "{}", stored.body);
        // The next copy with the same recipients does not search again.
        fake.forget_requests();
        file(&graph, &message_of("2", sender, &to, &[]), Attempt::First).await.unwrap();
        assert_eq!(fake.count(Kind::MessageCreate), 2, "{invalid:?}");
        assert_eq!(fake.visible(ADA)[1].to.len(), 1100 - invalid.len());
    }
}

#[tokio::test]
async fn recipient_that_the_error_names_is_probed_alone() {
    let fake = tenant().await;
    let (to, rejected) = recipients(1100, &[77]);
    fake.reject_recipient(&rejected[0]);
    let named =
        Refusal::new(400, "ErrorInvalidRecipients").with_text("Recipient 'P77@whatsapp.invalid' is not resolved.");
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(named));
    file(&graph(&fake), &message_of("1", "s@whatsapp.invalid", &to, &[]), Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[0];
    assert!(stored.to.len() == 1099 && !stored.to.iter().any(|(_, to)| *to == rejected[0]));
    assert_eq!(fake.count(Kind::MessageCreate), 4, "unchanged, two probes, without the recipient");
}

/// One recipient is rejected, and during the search the fake also returns the same error once for each probe, wrongly.
#[tokio::test]
async fn single_error_of_a_probe_leaves_no_valid_recipient_out() {
    let (to, rejected) = recipients(8, &[5]);
    for n in 2..12 {
        let fake = tenant().await;
        fake.reject_recipient(&rejected[0]);
        let mistake = Fault::Refuse(Refusal::new(400, "ErrorInvalidRecipients"));
        fake.fault(On::kind(Kind::MessageCreate).nth(n), mistake);
        file(&graph(&fake), &message_of("1", "s@whatsapp.invalid", &to, &[]), Attempt::First).await.unwrap();
        let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
        let sent: Vec<_> = stored.to.iter().map(|(_, address)| address.as_str()).collect();
        assert!(sent.len() == 7 && !sent.contains(&rejected[0].as_str()), "{n}: {sent:?}");
        assert_eq!(stored.from.as_ref().map(|(_, from)| from.as_str()), Some("s@whatsapp.invalid"), "{n}");
    }
}

/// There are more rejected recipients than one search finds: the next searches continue, and no valid recipient is left
/// out.
#[tokio::test]
async fn many_rejected_recipients_are_found_in_several_searches() {
    let invalid: Vec<_> = (0..16).map(|number| number * 7).collect();
    let (to, rejected) = recipients(112, &invalid);
    let fake = tenant().await;
    rejected.iter().for_each(|address| fake.reject_recipient(address));
    file(&graph(&fake), &message_of("1", "s@whatsapp.invalid", &to, &[]), Attempt::First).await.unwrap();
    let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
    assert_eq!(stored.to.len(), 96);
    assert!(!stored.to.iter().any(|(_, address)| rejected.contains(address)));
}

/// A tenant that rejects every recipient: the copy is filed without them, with a bounded number of requests.
#[tokio::test]
async fn copy_is_filed_if_every_recipient_is_rejected() {
    let all: Vec<_> = (0..1100).collect();
    let (to, rejected) = recipients(1100, &all);
    let fake = tenant().await;
    rejected.iter().for_each(|address| fake.reject_recipient(address));
    file(&graph(&fake), &message_of("1", "s@whatsapp.invalid", &to, &[]), Attempt::First).await.unwrap();
    let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
    assert!(stored.to.is_empty() && stored.body.contains("1100 of 1100 recipients"), "{}", stored.body);
    assert!(fake.count(Kind::MessageCreate) < 400, "{}", fake.count(Kind::MessageCreate));
}

#[tokio::test]
async fn rejected_sender_is_shown_in_the_body() {
    let fake = tenant().await;
    fake.reject_recipient("4520123456@whatsapp.invalid");
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
    assert_eq!(stored.from.as_ref().map(|(_, address)| address.as_str()), Some(ADA));
    assert_eq!(stored.to.len(), 1);
    assert!(stored.body.contains("4520123456@whatsapp.invalid&gt;"), "{}", stored.body);
}

#[tokio::test]
async fn one_error_about_recipients_leaves_nothing_out() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(Refusal::new(400, "ErrorInvalidRecipients")));
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    let [stored] = &fake.messages(ADA)[..] else { panic!("one message in the whole mailbox") };
    assert_eq!(stored.from.as_ref().map(|(_, address)| address.as_str()), Some("4520123456@whatsapp.invalid"));
    assert_eq!((stored.to.len(), stored.body.trim()), (1, "<p>hello</p>"));
}

#[tokio::test]
async fn copy_without_class_is_counted_when_its_response_is_lost() {
    let counted = || runtime::metrics::counted(runtime::metrics::Metric::WithoutMessageClass);
    let before = counted();
    let fake = tenant().await;
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    fake.fault(On::kind(Kind::MessageCreate).nth(3), Fault::LoseResponse);
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!((with_class(&fake), counted() - before), (vec![false], 1));
}

#[tokio::test]
async fn interrupted_search_for_recipients_leaves_nothing_behind() {
    let (to, rejected) = recipients(40, &[17]);
    let message = message_of("1", "s@whatsapp.invalid", &to, &[]);
    for fault in [Fault::LoseResponse, Fault::DoAndRefuse(Refusal::new(503, "ErrorServerBusy"))] {
        for n in 2..9 {
            let fake = tenant().await;
            fake.reject_recipient(&rejected[0]);
            fake.fault(On::kind(Kind::MessageCreate).nth(n), fault.clone());
            let mut filed = file(&graph(&fake), &message, Attempt::First).await;
            for _ in 0..2 {
                if let Err(MailboxError::Unavailable { .. }) = filed {
                    filed = file(&graph(&fake), &message, Attempt::Retry).await;
                }
            }
            assert!(filed.is_ok(), "{n} {fault:?}: {filed:?}");
            assert_eq!((fake.messages(ADA).len(), fake.visible(ADA).len()), (1, 1), "{n} {fault:?}");
        }
    }
}

/// The recipients of a large group alone exceed the size limit of a request.
#[tokio::test]
async fn message_with_too_many_recipients_shows_the_first_500() {
    let (to, _) = recipients(90_000, &[]);
    let fake = tenant().await;
    file(&graph(&fake), &message_of("1", "s@whatsapp.invalid", &to, &[]), Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[0];
    assert!(stored.to.len() == 500 && stored.body.contains("500 of 90000"), "{}", stored.body);
    assert!(fake.longest_request() <= 4_000_000);
}
