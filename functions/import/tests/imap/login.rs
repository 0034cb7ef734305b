//! Who has a mailbox, and what a refusal is taken for.

use dovecot::{MASTER_PASSWORD, Options};
use import::mailbox::{Attempt, Mailboxes};

use crate::support::{
    ADA, BOB, NOBODY, Vault, assert_one_copy, config, file, imap, imap_with, mailbox, message, server, server_with,
    setup, unavailable,
};

#[tokio::test]
async fn one_account_opens_everybodys_mailbox_in_either_way() {
    let server = server();
    for separator in [None, Some('*')] {
        let imap = imap_with(config(&server.host()), Vault::with(MASTER_PASSWORD, separator));
        for address in [ADA, BOB] {
            assert_eq!(mailbox(&imap, address).await.address.as_str(), address);
        }
    }
}

#[tokio::test]
async fn the_server_is_not_asked_about_other_peoples_domains() {
    let server = server();
    let imap = imap(&server);
    assert_eq!(imap.find(&"ada@example.org".parse().unwrap()).await.unwrap(), None);
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn an_address_is_nobodys_only_if_another_mailbox_opens_at_the_same_moment() {
    let server = server();
    let nobody = NOBODY.parse().unwrap();
    // In doubt the item waits.
    assert!(setup(&imap(&server).find(&nobody).await.unwrap_err()).contains("user map"));

    let mut config = config(&server.host());
    config.probe = Some(ADA.parse().unwrap());
    let vault = Vault::with(MASTER_PASSWORD, None);
    let imap = imap_with(config, vault.clone());
    assert_eq!(imap.find(&nobody).await.unwrap(), None);

    server.set_master_password(ADA, "another").unwrap();
    let error = imap.find(&nobody).await.unwrap_err();
    assert!(setup(&error).contains("probe"), "{error}");
    assert!(!error.to_string().contains('@'));
}

#[tokio::test]
async fn a_wrong_password_is_our_set_up_and_nobodys_absence() {
    let server = server();
    let imap = imap_with(config(&server.host()), Vault::with("wrong", None));
    for error in [
        imap.find(&ADA.parse().unwrap()).await.unwrap_err(),
        imap.find(&NOBODY.parse().unwrap()).await.unwrap_err(),
        file(&imap, &message("1", 0), Attempt::First).await.unwrap_err(),
    ] {
        let detail = setup(&error);
        assert!(detail.contains("AUTHENTICATIONFAILED") && !detail.contains("wrong password"), "{detail}");
        assert!(!format!("{error:?}").contains('@'));
    }
}

#[tokio::test]
async fn a_secret_that_is_rotated_is_fetched_again() {
    let server = server();
    let vault = Vault::with(MASTER_PASSWORD, None);
    let imap = imap_with(config(&server.host()), vault.clone());
    mailbox(&imap, ADA).await;
    server.set_master_password(ADA, "rotated").unwrap();
    vault.account.lock().unwrap().password = "rotated".to_owned().into();
    mailbox(&imap, BOB).await;
    assert_eq!(*vault.asked.lock().unwrap(), 2);
    let message = message("1", 0);
    file(&imap, &message, Attempt::First).await.unwrap();
    assert_one_copy(&server, &message);
}

#[tokio::test]
async fn nothing_is_said_to_a_server_whose_certificate_is_not_trusted() {
    let server = server_with(Options { tls: true, ..Options::default() });
    let vault = Vault::with(MASTER_PASSWORD, None);
    let imap = imap_with(config(&server.host()), vault);
    let error = imap.find(&ADA.parse().unwrap()).await.unwrap_err();
    assert!(setup(&error).contains("certificate"), "{error}");
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for() {
    let mut server = server();
    let imap = imap(&server);
    mailbox(&imap, ADA).await;
    server.kill();
    unavailable(&imap.find(&BOB.parse().unwrap()).await.unwrap_err());
    let message = message("1", 0);
    unavailable(&file(&imap, &message, Attempt::First).await.unwrap_err());
    server.run().unwrap();
    // The connection of before is dead, and that is noticed.
    file(&imap, &message, Attempt::Again).await.unwrap();
    assert_one_copy(&server, &message);
}
