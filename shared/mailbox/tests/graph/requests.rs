//! The number of requests that one copy costs, by case.

use graph_fake::{Fault, GraphFake, Kind, On, Quirks, Refusal, User};
use mailbox::{Attempt, MailboxError, Mailboxes, graph::Graph};

use crate::support::{ADA, bytes, file, graph, mailbox, message, message_of, tenant};

const BOB: &str = "bob@example.com";

/// Returns a tenant whose token, mailbox and folder are cached.
async fn warm() -> (GraphFake, Graph) {
    let fake = tenant().await;
    let graph = graph(&fake);
    file(&graph, &message("warm", &[]), Attempt::First).await.unwrap();
    fake.forget_requests();
    (fake, graph)
}

#[tokio::test]
async fn new_copy_costs_one_request_and_a_retry_two() {
    let (fake, graph) = warm().await;
    let copy = message("1", &[]);
    file(&graph, &copy, Attempt::First).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageCreate]);
    fake.forget_requests();
    file(&graph, &copy, Attempt::Retry).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageSearch], "a retry that finds its copy");
    fake.forget_requests();
    file(&graph, &message("2", &[]), Attempt::Retry).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageSearch, Kind::MessageCreate]);
}

#[tokio::test]
async fn lookup_costs_two_requests_or_four_for_an_unproven_address() {
    let (fake, graph) = warm().await;
    fake.add(User::new(BOB));
    fake.add(User::new("named@example.com").without_proxies());
    let requests = async |address: &str| {
        fake.forget_requests();
        graph.find(&address.parse().unwrap()).await.unwrap();
        fake.requests()
    };
    assert_eq!(requests(BOB).await, [Kind::UserByName, Kind::FolderSearch]);
    assert_eq!(requests(BOB).await, [], "cached for ten minutes");
    assert_eq!(requests("absent@example.com").await, [Kind::UserByName, Kind::UserSearch]);
    let unproven = [Kind::UserByName, Kind::UserSearch, Kind::FolderSearch, Kind::GroupSearch];
    assert_eq!(requests("named@example.com").await, unproven);
}

#[tokio::test]
async fn deep_check_costs_one_request_for_each_copy() {
    let (fake, graph) = warm().await;
    let ada = mailbox(&graph, ADA).await;
    fake.forget_requests();
    assert_eq!(graph.copies(&ada, &message("warm", &[]).identity()).await.unwrap().len(), 1);
    assert_eq!(fake.requests(), [Kind::MessageSearch]);
}

#[tokio::test]
async fn rejected_class_costs_two_requests_an_hour() {
    let (fake, graph) = warm().await;
    fake.set_quirks(Quirks { refuses_message_class: true, ..Quirks::default() });
    file(&graph, &message("1", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageCreate; 3]);
    fake.forget_requests();
    file(&graph, &message("2", &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageCreate]);
}

#[tokio::test]
async fn rejected_recipient_costs_a_search_once_an_hour() {
    let (fake, graph) = warm().await;
    let to: Vec<_> = (0..1100).map(|number| format!("p{number}@whatsapp.invalid")).collect();
    fake.reject_recipient("p555@whatsapp.invalid");
    let group = |item: &str| message_of(item, "s@whatsapp.invalid", &to.join(",\r\n "), &[]);
    file(&graph, &group("1"), Attempt::First).await.unwrap();
    let (creates, deletes) = (fake.count(Kind::MessageCreate), fake.count(Kind::MessageDelete));
    assert!(creates <= 26 && deletes <= 12, "{creates} creates, {deletes} deletes");
    fake.forget_requests();
    file(&graph, &group("2"), Attempt::First).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageCreate; 2]);
}

#[tokio::test]
async fn dead_letter_of_a_small_item_costs_no_request() {
    let (fake, graph) = warm().await;
    fake.fault(On::kind(Kind::MessageCreate), Fault::Refuse(Refusal::new(400, "ErrorMessageSizeExceeded")));
    let error = file(&graph, &message("1", &[]), Attempt::First).await.unwrap_err();
    assert!(matches!(error, MailboxError::Rejected { .. }), "{error:?}");
    let ada = mailbox(&graph, ADA).await;
    fake.forget_requests();
    graph.remove_incomplete(&ada, &message("1", &[])).await.unwrap();
    assert_eq!(fake.requests(), []);
    let big = bytes(1, 4_200_000);
    graph.remove_incomplete(&ada, &message("2", &[("a", &big)])).await.unwrap();
    assert!(fake.requests().len() <= 3, "of a large one: {:?}", fake.requests());
}
