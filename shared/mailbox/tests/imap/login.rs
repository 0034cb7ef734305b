//! Addresses with and without a mailbox, and the classification of rejected logins.

use dovecot::{MASTER_PASSWORD, Options};
use mailbox::{Attempt, Mailboxes};

use crate::support::{
    ADA, BOB, SecretStore, WITHOUT_MAILBOX, assert_one_copy, config, file, imap, imap_with, mailbox, message, server,
    server_with, setup, unavailable,
};

#[tokio::test]
async fn one_account_opens_every_mailbox_in_either_way() {
    let server = server();
    for separator in [None, Some('*')] {
        let imap = imap_with(config(&server.host()), SecretStore::with(MASTER_PASSWORD, separator));
        for address in [ADA, BOB] {
            assert_eq!(mailbox(&imap, address).await.address.as_str(), address);
        }
    }
}

#[tokio::test]
async fn address_of_another_domain_needs_no_request() {
    let server = server();
    let imap = imap(&server);
    assert_eq!(imap.find(&"ada@example.org".parse().unwrap()).await.unwrap(), None);
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn rejected_login_is_confirmed_by_the_probe_mailbox() {
    let server = server();
    let absent = WITHOUT_MAILBOX.parse().unwrap();
    // Without a probe mailbox the item waits.
    assert!(setup(&imap(&server).find(&absent).await.unwrap_err()).contains("user map"));

    let mut config = config(&server.host());
    config.probe = Some(ADA.parse().unwrap());
    let secrets = SecretStore::with(MASTER_PASSWORD, None);
    let imap = imap_with(config, secrets.clone());
    assert_eq!(imap.find(&absent).await.unwrap(), None);

    server.set_master_password(ADA, "another").unwrap();
    let error = imap.find(&absent).await.unwrap_err();
    assert!(setup(&error).contains("probe"), "{error}");
    assert!(!error.to_string().contains('@'));
}

#[tokio::test]
async fn wrong_password_is_a_configuration_error() {
    let server = server();
    let imap = imap_with(config(&server.host()), SecretStore::with("wrong", None));
    for error in [
        imap.find(&ADA.parse().unwrap()).await.unwrap_err(),
        imap.find(&WITHOUT_MAILBOX.parse().unwrap()).await.unwrap_err(),
        file(&imap, &message("1", 0), Attempt::First).await.unwrap_err(),
    ] {
        let detail = setup(&error);
        assert!(detail.contains("AUTHENTICATIONFAILED") && !detail.contains("wrong password"), "{detail}");
        assert!(!format!("{error:?}").contains('@'));
    }
}

#[tokio::test]
async fn rotated_secret_is_fetched_again() {
    let server = server();
    let secrets = SecretStore::with(MASTER_PASSWORD, None);
    let imap = imap_with(config(&server.host()), secrets.clone());
    mailbox(&imap, ADA).await;
    server.set_master_password(ADA, "rotated").unwrap();
    secrets.account.lock().unwrap().password = "rotated".to_owned().into();
    mailbox(&imap, BOB).await;
    assert_eq!(*secrets.requests.lock().unwrap(), 2);
    let message = message("1", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn server_with_an_untrusted_certificate_gets_no_login() {
    let server = server_with(Options { tls: true, ..Options::default() });
    let secrets = SecretStore::with(MASTER_PASSWORD, None);
    let imap = imap_with(config(&server.host()), secrets);
    let error = imap.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(setup(&error).contains("certificate"), "{error}");
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn unreachable_server_is_a_temporary_failure() {
    let mut server = server();
    let imap = imap(&server);
    mailbox(&imap, ADA).await;
    server.kill();
    unavailable(&imap.find(&BOB.parse().unwrap()).await.unwrap_err());
    let message = message("1", 0);
    unavailable(&file(&imap, &message, Attempt::First).await.unwrap_err());
    server.run().unwrap();
    // The idle connection is closed and is replaced.
    file(&imap, &message, Attempt::Retry).await.unwrap();
    assert_one_copy(&server, &message);
}
