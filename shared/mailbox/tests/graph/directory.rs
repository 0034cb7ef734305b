//! Resolving addresses to mailboxes.

use std::{sync::atomic::Ordering, time::Duration};

use graph_fake::{CLIENT_SECRET, Fault, Kind, On, Quirks, Refusal, User};
use mailbox::{MailboxError, MailboxLookup, Mailboxes, graph::Graph};

use crate::support::{ADA, SecretStore, clock, config, graph, graph_with, mailbox, tenant};

async fn exists(graph: &Graph, address: &str) -> bool {
    graph.find(&address.parse().unwrap()).await.unwrap().is_some()
}

#[tokio::test]
async fn every_address_of_a_mailbox_resolves_to_it() {
    let fake = tenant().await;
    fake.add(User::new("o'hara@corp.example").mail(Some("o'hara@example.com")).alias("sales+wa@example.com"));
    let graph = graph(&fake);
    let found = [
        mailbox(&graph, "o'hara@corp.example").await,
        mailbox(&graph, "o'hara@example.com").await,
        mailbox(&graph, "Sales+WA@example.com").await,
    ];
    assert!(found.iter().all(|mailbox| mailbox.id == found[0].id), "{found:?}");
    assert!(found.iter().all(|mailbox| mailbox.primary.as_str() == "o'hara@example.com"), "{found:?}");
    assert_ne!(mailbox(&graph, ADA).await.id, found[0].id);
    fake.add(User::new("eve@example.com").without_proxies());
    assert_eq!(mailbox(&graph, "eve@example.com").await.primary.as_str(), "eve@example.com");
}

#[tokio::test]
async fn negative_lookup_is_cached_for_its_ttl() {
    let fake = tenant().await;
    let mut short = config(&fake);
    short.negative_ttl = Duration::ZERO;
    let mut long = config(&fake);
    long.negative_ttl = Duration::from_secs(3600);
    let (short, long) =
        (graph_with(short, SecretStore::with(CLIENT_SECRET)), graph_with(long, SecretStore::with(CLIENT_SECRET)));
    assert!(exists(&short, ADA).await);
    assert!(!exists(&short, "bob@example.com").await && !exists(&long, "bob@example.com").await);
    fake.add(User::new("bob@example.com"));
    fake.forget_requests();
    assert!(exists(&short, ADA).await && !exists(&long, "bob@example.com").await);
    assert_eq!(fake.requests(), []);
    assert!(exists(&short, "bob@example.com").await);
}

#[tokio::test]
async fn missing_mailbox_is_recognized_by_every_code() {
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

/// While a mailbox is created or moved, Graph reports that the account has none.
#[tokio::test]
async fn account_without_mailbox_is_not_an_unknown_address() {
    let fake = tenant().await;
    for code in ["MailboxNotEnabledForRESTAPI", "ResourceNotFound", "ErrorInvalidUser"] {
        let graph = graph(&fake);
        fake.fault(On::kind(Kind::FolderSearch), Fault::Refuse(Refusal::new(404, code)));
        let found = graph.look_up(&ADA.parse().unwrap()).await.unwrap();
        assert_eq!(found, MailboxLookup::AccountOnly, "{code}");
        assert!(exists(&graph, ADA).await, "{code}");
    }
    // A new account has no addresses before its mailbox.
    let new = User::new("new@example.com").without_proxies().without_mailbox("ErrorInvalidUser");
    fake.add(new);
    let guest = User::new("guest_ext@corp.example").mail(Some("x@client.example")).guest();
    fake.add(guest.without_mailbox("MailboxNotEnabledForRESTAPI"));
    let graph = graph(&fake);
    let look_up = async |address: &str| graph.look_up(&address.parse().unwrap()).await.unwrap();
    assert_eq!(look_up("new@example.com").await, MailboxLookup::AccountOnly);
    assert_eq!(look_up("x@client.example").await, MailboxLookup::Nothing, "a guest has no mailbox");
    assert_eq!(look_up("stranger@elsewhere.example").await, MailboxLookup::Nothing);
}

#[tokio::test]
async fn rejected_lookup_is_not_a_missing_mailbox() {
    for (kind, status, code) in [
        (Kind::UserByName, 403, "Authorization_RequestDenied"),
        (Kind::UserSearch, 403, "Authorization_RequestDenied"),
        (Kind::UserSearch, 400, "Request_BadRequest"),
        (Kind::FolderSearch, 403, "ErrorAccessDenied"),
        (Kind::FolderSearch, 400, "BadRequest"),
    ] {
        let fake = tenant().await;
        fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
        fake.fault(On::kind(kind).times(9), Fault::Refuse(Refusal::new(status, code)));
        let error = graph(&fake).find(&"x@example.com".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, MailboxError::LookupRejected { .. }), "{kind:?} {code}: {error:?}");
        assert!(error.to_string().contains(code), "{error}");
    }
}

#[tokio::test]
async fn rejected_token_is_a_configuration_error() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::UserByName).times(9), Fault::Refuse(Refusal::new(401, "InvalidAuthenticationToken")));
    let error = graph(&fake).find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, MailboxError::Configuration { .. }), "{error:?}");
}

/// A user outside the application's scope, and an address that the directory rejects.
#[tokio::test]
async fn lookup_error_of_one_address_does_not_affect_another() {
    let fake = tenant().await;
    fake.add(User::new("colleague@example.com").out_of_scope());
    fake.reject_address("sales#dk@client.example");
    let graph = graph(&fake);
    for address in ["colleague@example.com", "sales#dk@client.example"] {
        let error = graph.find(&address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, MailboxError::LookupRejected { .. }), "{address}: {error:?}");
    }
    assert!(exists(&graph, ADA).await);
}

/// Some servers reject a user name with unusual characters with a 400.
#[tokio::test]
async fn address_rejected_as_user_name_is_found_by_filter() {
    let fake = tenant().await;
    fake.add(User::new("owner@corp.example").alias("sales#dk@example.com"));
    fake.fault(On::kind(Kind::UserByName), Fault::Refuse(Refusal::new(400, "Request_BadRequest")));
    assert!(exists(&graph(&fake), "sales#dk@example.com").await);
}

#[tokio::test]
async fn sporadic_404_of_a_lookup_is_retried() {
    for code in ["UnknownError", "ErrorNonExistentMailbox"] {
        let fake = tenant().await;
        fake.fault(On::kind(Kind::FolderSearch), Fault::Refuse(Refusal::new(404, code)));
        assert!(exists(&graph(&fake), ADA).await, "{code}");
        fake.fault(On::kind(Kind::FolderSearch).times(1000), Fault::Refuse(Refusal::new(404, code)));
        let error = graph(&fake).find(&ADA.parse().unwrap()).await.unwrap_err();
        assert!(matches!(&error, MailboxError::Unrecognized { detail, .. } if detail.contains(code)), "{error:?}");
    }
}

#[tokio::test]
async fn user_name_that_is_the_address_of_a_group_gets_no_copy() {
    let fake = tenant().await;
    fake.add(User::new("sales@example.com").mail(Some("ann@example.com")));
    fake.add_group(&["team@example.com", "Sales@example.com"]);
    fake.add(User::new("displayed@corp.example").mail(Some("team@example.com")).without_proxies());
    let graph = graph(&fake);
    assert!(!exists(&graph, "sales@example.com").await, "it is only the account's user name");
    assert!(!exists(&graph, "team@example.com").await, "only displayed");
    assert!(exists(&graph, "ann@example.com").await);
    let searches = fake.count(Kind::GroupSearch);
    assert!(exists(&graph, ADA).await);
    assert_eq!(fake.count(Kind::GroupSearch), searches, "an address of the account needs no lookup of groups");
}

#[tokio::test]
async fn user_name_is_not_resolved_without_the_group_permission() {
    let fake = tenant().await;
    fake.add(User::new("ann@corp.example").mail(Some("ann@example.com")));
    fake.deny_groups();
    let graph = graph(&fake);
    let error = graph.find(&"ann@corp.example".parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, MailboxError::LookupRejected { detail } if detail.contains("GroupMember.Read.All")),
        "{error:?}"
    );
    assert!(exists(&graph, "ann@example.com").await);
}

#[tokio::test]
async fn user_name_of_one_account_displayed_by_another_gets_no_copy() {
    let fake = tenant().await;
    fake.add(User::new("x@example.com").mail(Some("ann@example.com")));
    fake.add(User::new("bob@corp.example").mail(Some("x@example.com")).without_proxies());
    assert!(!exists(&graph(&fake), "x@example.com").await);
}

/// Lambda freezes the process between two invocations.
#[tokio::test]
async fn negative_lookup_expires_by_the_wall_clock() {
    let (clock, passed) = clock();
    let fake = tenant().await;
    let mut config = config(&fake);
    (config.negative_ttl, config.clock) = (Duration::from_secs(60), clock);
    let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
    assert!(!exists(&graph, "bob@example.com").await);
    fake.add(User::new("bob@example.com"));
    passed.store(59, Ordering::Relaxed);
    assert!(!exists(&graph, "bob@example.com").await);
    passed.store(60, Ordering::Relaxed);
    assert!(exists(&graph, "bob@example.com").await);
}

#[tokio::test]
async fn directory_outage_is_a_transient_failure() {
    for kind in [Kind::UserByName, Kind::UserSearch, Kind::FolderSearch] {
        let fake = tenant().await;
        fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
        let graph = graph(&fake);
        fake.fault(On::kind(kind).times(1000), Fault::Refuse(Refusal::new(503, "ErrorServerBusy")));
        let error = graph.find(&"x@example.com".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, MailboxError::Unavailable { .. }), "{kind:?}: {error:?}");
        fake.clear_faults();
        assert!(exists(&graph, "x@example.com").await, "an outage is not cached");
    }
}

#[tokio::test]
async fn resolver_prefers_owner_over_user_name() {
    let fake = tenant().await;
    fake.add(User::new("shared@example.com").mail(Some("other@example.com")));
    fake.add(User::new("owner@example.com").alias("shared@example.com"));
    let graph = graph(&fake);
    let owner = mailbox(&graph, "owner@example.com").await.id;
    assert_eq!(mailbox(&graph, "shared@example.com").await.id, owner);
}

#[tokio::test]
async fn guest_without_mailbox_does_not_hide_the_mailbox() {
    let fake = tenant().await;
    let guest = User::new("guest_ext@corp.example").mail(Some("x@example.com")).without_proxies();
    fake.add(guest.without_mailbox("MailboxNotEnabledForRESTAPI"));
    fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
    assert!(exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn user_name_starting_with_a_dollar_is_found() {
    let fake = tenant().await;
    fake.add(User::new("$ada@example.com"));
    let graph = graph(&fake);
    assert!(exists(&graph, "$ada@example.com").await && !exists(&graph, "$bob@example.com").await);
}

#[tokio::test]
async fn address_of_two_mailboxes_resolves_to_none() {
    let fake = tenant().await;
    for name in ["one@corp.example", "two@corp.example"] {
        fake.add(User::new(name).mail(Some("x@example.com")).without_proxies());
    }
    assert!(!exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn token_is_not_sent_to_a_next_page_on_another_host() {
    let fake = tenant().await;
    for number in 0..11 {
        let user = User::new(&format!("{number}@corp.example")).mail(Some("x@example.com")).without_proxies();
        fake.add(user.without_mailbox("ResourceNotFound"));
    }
    fake.add(User::new("x@corp.example").mail(Some("x@example.com")));
    let graph = graph(&fake);
    fake.set_quirks(Quirks { links_to_other_host: true, ..Quirks::default() });
    let error = graph.find(&"x@example.com".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("next page"), "{error}");
    fake.set_quirks(Quirks::default());
    assert!(exists(&graph, "x@example.com").await, "the second page is read");
}

/// The owner has no mailbox any more and still owns the address, so no other user gets the copies.
#[tokio::test]
async fn owner_without_mailbox_is_not_replaced_by_another_user() {
    let fake = tenant().await;
    let owner = User::new("owner@corp.example").alias("x@example.com").without_mailbox("MailboxNotEnabledForRESTAPI");
    fake.add(owner);
    fake.add(User::new("other@corp.example").mail(Some("x@example.com")).without_proxies());
    assert!(!exists(&graph(&fake), "x@example.com").await);
}

#[tokio::test]
async fn resolver_prefers_owner_over_displayed_address() {
    let fake = tenant().await;
    fake.add(User::new("x@example.com").without_proxies());
    fake.add(User::new("owner@corp.example").alias("x@example.com"));
    let graph = graph(&fake);
    assert_eq!(mailbox(&graph, "x@example.com").await.id, mailbox(&graph, "owner@corp.example").await.id);
}

#[tokio::test]
async fn address_invalid_as_user_name_is_looked_up_by_filter() {
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
async fn lookup_error_about_the_quota_is_unrecognized() {
    let fake = tenant().await;
    fake.fault(On::kind(Kind::FolderSearch), Fault::Refuse(Refusal::new(507, "ErrorQuotaExceeded")));
    let error = graph(&fake).find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, MailboxError::Unrecognized { .. }), "{error:?}");
}
