//! Whose an address is, and whether there is a mailbox.

use std::time::Duration;

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Quirks, Refusal, User};
use import::mailbox::{MailboxError, Mailboxes, graph::Graph};

use crate::support::{ADA, Vault, config, graph, graph_with, mailbox, tenant};

async fn exists(graph: &Graph, address: &str) -> bool {
    graph.find(&address.parse().unwrap()).await.unwrap().is_some()
}

#[tokio::test]
async fn a_mailbox_is_found_by_each_of_its_addresses_and_is_one() {
    let fake = tenant().await;
    fake.add(User::new("o'hara@corp.example").mail(Some("o'hara@example.com")).alias("sales+wa@example.com"));
    let graph = graph(&fake);
    let ids = [
        mailbox(&graph, "o'hara@corp.example").await.id,
        mailbox(&graph, "o'hara@example.com").await.id,
        mailbox(&graph, "Sales+WA@example.com").await.id,
    ];
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(mailbox(&graph, ADA).await.id, ids[0]);
}

#[tokio::test]
async fn what_was_found_is_remembered_and_what_was_not_only_for_a_while() {
    let fake = tenant().await;
    let mut short = config(&fake);
    short.remember_nobody = Duration::ZERO;
    let mut long = config(&fake);
    long.remember_nobody = Duration::from_secs(3600);
    let (short, long) = (graph_with(short, Vault::with(CLIENT_SECRET)), graph_with(long, Vault::with(CLIENT_SECRET)));
    assert!(exists(&short, ADA).await);
    assert!(!exists(&short, "bob@example.com").await && !exists(&long, "bob@example.com").await);
    fake.add(User::new("bob@example.com"));
    fake.forget_requests();
    assert!(exists(&short, ADA).await && !exists(&long, "bob@example.com").await);
    assert_eq!(fake.requests(), []);
    assert!(exists(&short, "bob@example.com").await);
}

#[tokio::test]
async fn every_way_of_saying_that_there_is_no_mailbox_is_understood() {
    let fake = tenant().await;
    let codes = ["MailboxNotEnabledForRESTAPI", "ResourceNotFound", "ErrorInvalidUser", "Request_ResourceNotFound"];
    for (number, code) in codes.into_iter().enumerate() {
        fake.add(User::new(&format!("{number}@example.com")).without_mailbox(code));
    }
    let graph = graph(&fake);
    for (number, code) in codes.into_iter().enumerate() {
        assert!(!exists(&graph, &format!("{number}@example.com")).await, "{code}");
    }
    assert!(!exists(&graph, "stranger@elsewhere.example").await);
}

#[tokio::test]
async fn a_refusal_is_our_set_up_and_never_no_mailbox() {
    for kind in [Kind::UserByName, Kind::UserSearch, Kind::FolderSearch] {
        for (status, code) in [(403, "Authorization_RequestDenied"), (403, "ErrorAccessDenied"), (400, "BadRequest")] {
            let fake = tenant().await;
            fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
            fake.fault(On::kind(kind).times(9), Fault::Refuse(Refusal::new(status, code)));
            let error = graph(&fake).find(&"x@example.com".parse().unwrap()).await.unwrap_err();
            assert!(matches!(error, MailboxError::Setup { .. }), "{kind:?} {code}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_fails_is_an_outage_and_never_no_mailbox() {
    for kind in [Kind::UserByName, Kind::UserSearch, Kind::FolderSearch] {
        let fake = tenant().await;
        fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
        let graph = graph(&fake);
        fake.fault(On::kind(kind).times(1000), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
        let error = graph.find(&"x@example.com".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, MailboxError::Unavailable { .. }), "{kind:?}: {error:?}");
        fake.clear_faults();
        assert!(exists(&graph, "x@example.com").await, "an outage is not remembered");
    }
}

#[tokio::test]
async fn an_address_belongs_to_whom_its_mail_goes_to_and_not_to_whom_it_names() {
    let fake = tenant().await;
    fake.add(User::new("shared@example.com").mail(Some("other@example.com")));
    fake.add(User::new("owner@example.com").alias("shared@example.com"));
    let graph = graph(&fake);
    let owner = mailbox(&graph, "owner@example.com").await.id;
    assert_eq!(mailbox(&graph, "shared@example.com").await.id, owner);
}

#[tokio::test]
async fn a_guest_without_a_mailbox_does_not_hide_the_mailbox() {
    let fake = tenant().await;
    let guest = User::new("guest_ext@corp.example").mail(Some("x@example.com")).without_proxies();
    fake.add(guest.without_mailbox("MailboxNotEnabledForRESTAPI"));
    fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
    assert!(exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn a_name_that_no_path_can_have_is_found_all_the_same() {
    let fake = tenant().await;
    fake.add(User::new("$ada@example.com"));
    let graph = graph(&fake);
    assert!(exists(&graph, "$ada@example.com").await && !exists(&graph, "$bob@example.com").await);
}

#[tokio::test]
async fn an_address_of_two_mailboxes_is_nobodys() {
    let fake = tenant().await;
    for name in ["one@corp.example", "two@corp.example"] {
        fake.add(User::new(name).mail(Some("x@example.com")).without_proxies());
    }
    assert!(!exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn the_token_does_not_follow_a_list_to_another_host() {
    let fake = tenant().await;
    for number in 0..11 {
        let user = User::new(&format!("{number}@corp.example")).mail(Some("x@example.com")).without_proxies();
        fake.add(user.without_mailbox("ResourceNotFound"));
    }
    fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
    let graph = graph(&fake);
    fake.set_quirks(Quirks { links_elsewhere: true, ..Quirks::default() });
    let error = graph.find(&"x@example.com".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("next page"), "{error}");
    fake.set_quirks(Quirks::default());
    assert!(exists(&graph, "x@example.com").await, "the second page is read");
}

/// The owner has left, and the address is theirs still: what it shows is no reason to file their items elsewhere.
#[tokio::test]
async fn an_owner_without_a_mailbox_is_not_stood_in_for_by_whoever_shows_the_address() {
    let fake = tenant().await;
    let owner = User::new("owner@corp.example").alias("x@example.com").without_mailbox("MailboxNotEnabledForRESTAPI");
    fake.add(owner);
    fake.add(User::new("other@corp.example").mail(Some("x@example.com")).without_proxies());
    assert!(!exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn whoever_has_an_address_for_a_name_and_shows_it_is_not_its_owner_where_another_is() {
    let fake = tenant().await;
    fake.add(User::new("x@example.com").without_proxies());
    fake.add(User::new("owner@corp.example").alias("x@example.com"));
    let graph = graph(&fake);
    assert_eq!(mailbox(&graph, "x@example.com").await.id, mailbox(&graph, "owner@corp.example").await.id);
}

#[tokio::test]
async fn an_address_that_no_user_name_can_be_is_looked_for_by_a_filter_alone() {
    for local in ["a/b", "a%2fb", "a?b", "a&b", "a*b", "a+b", "a=b", "{a}", "a|b", "$a", "a`b"] {
        let fake = tenant().await;
        let address = format!("{local}@example.com");
        fake.add(User::new("owner@corp.example").alias(&address));
        let graph = graph(&fake);
        assert!(exists(&graph, &address).await, "{address}");
        assert_eq!((fake.count(Kind::UserByName), fake.count(Kind::UserSearch)), (0, 1), "{address}");
    }
}

#[tokio::test]
async fn a_look_up_that_speaks_of_room_says_nothing_about_an_item() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::FolderSearch), Fault::Refuse(Refusal::new(507, "ErrorQuotaExceeded")));
    let error = graph(&fake).find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, MailboxError::Setup { .. }), "{error:?}");
}
