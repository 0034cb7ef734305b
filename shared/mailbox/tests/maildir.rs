//! The Maildir adapter, observed in the directories.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, time::SystemTime};

use mailbox::{Attempt, Mailbox, MailboxError, Mailboxes, Message, maildir::Maildir};
use model::FilingResult;
use tempfile::TempDir;

const FOLDER: &str = "WhatsApp Archiver";
const SECONDS: u64 = 1_795_330_800;

fn message(number: u32) -> Message {
    let mime = format!(
        "From: a@whatsapp.invalid\r\nDate: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <{number}@archive.example>\r\n\
         Subject: WhatsApp: Ada\r\n\r\nhej \u{f8}\r\n"
    );
    Message {
        item: format!("WA-{number}").parse().unwrap(),
        message_id: format!("<{number}@archive.example>"),
        mime: mime.into_bytes().into(),
    }
}

fn root_with(address: &str) -> (TempDir, Maildir) {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join(address)).unwrap();
    let maildir = Maildir::new(root.path(), FOLDER).unwrap();
    (root, maildir)
}

async fn find(maildir: &Maildir, address: &str) -> Option<Mailbox> {
    maildir.find(&address.parse().unwrap()).await.unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn mailbox_is_a_directory_below_the_root() {
    let (root, maildir) = root_with("ada@example.com");
    let elsewhere = TempDir::new().unwrap();
    fs::create_dir(root.path().join("o%2Fd%25d@example.com")).unwrap();
    fs::write(root.path().join("file@example.com"), "").unwrap();
    symlink(elsewhere.path(), root.path().join("out@example.com")).unwrap();
    symlink("gone@example.com", root.path().join("dangling@example.com")).unwrap();
    symlink("ada@example.com", root.path().join("ada.lovelace@example.com")).unwrap();
    assert!(find(&maildir, "Ada@Example.com").await.is_some());
    assert!(find(&maildir, "o/d%d@example.com").await.is_some());
    let alias = find(&maildir, "ada.lovelace@example.com").await.unwrap();
    assert_eq!(alias.id, find(&maildir, "ada@example.com").await.unwrap().id);
    assert_eq!((alias.address.as_str(), alias.primary.as_str()), ("ada.lovelace@example.com", "ada@example.com"));
    let long = format!("{}@{}.example.com", "x".repeat(64), ["y".repeat(60), "y".repeat(60), "y".repeat(50)].join("."));
    for absent in ["bob@example.com", long.as_str()] {
        assert!(find(&maildir, absent).await.is_none(), "{absent}");
    }
    for unusable in ["file@example.com", "out@example.com", "dangling@example.com"] {
        let found = maildir.find(&unusable.parse().unwrap()).await;
        assert!(matches!(found, Err(MailboxError::Configuration { .. })), "{unusable}: {found:?}");
    }
    assert!(!root.path().join("bob@example.com").exists());
    let path = root.path().to_owned();
    root.close().unwrap();
    let gone = maildir.find(&"bob@example.com".parse().unwrap()).await;
    assert!(
        matches!(gone, Err(MailboxError::Configuration { .. })),
        "a disk that is not mounted is not a company without mailboxes"
    );
    assert!(matches!(Maildir::new(&path, FOLDER), Err(MailboxError::Configuration { .. })));
}

#[test]
fn folder_name_is_validated() {
    let root = TempDir::new().unwrap();
    for folder in ["", ".", "..", ".hidden", "a/b", "../up", "a\\b", "a\0b", "a\nb", "cur", &"x".repeat(256)] {
        assert!(matches!(Maildir::new(root.path(), folder), Err(MailboxError::Configuration { .. })), "{folder:?}");
    }
}

#[tokio::test]
async fn copy_is_the_message_with_its_own_time() {
    let (root, maildir) = root_with("ada@example.com");
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    let filed = maildir.file(&mailbox, &message(1), Attempt::First).await.unwrap();
    assert_eq!(filed.result, FilingResult::Imported);
    let folder = root.path().join("ada@example.com").join(FOLDER);
    assert_eq!(names(&folder.join("cur")), [format!("{}:2,S", filed.message)]);
    assert!(names(&folder.join("new")).is_empty() && names(&folder.join("tmp")).is_empty());
    let path = folder.join("cur").join(format!("{}:2,S", filed.message));
    assert_eq!(fs::read(&path).unwrap(), message(1).mime.in_memory()[..]);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), SECONDS);
    assert!(filed.message.starts_with(&format!("{SECONDS}.")));
}

#[tokio::test]
async fn second_attempt_finds_the_copy_with_any_flags() {
    let (root, maildir) = root_with("ada@example.com");
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    let first = maildir.file(&mailbox, &message(1), Attempt::First).await.unwrap();
    let same_name = maildir.file(&mailbox, &message(1), Attempt::First).await.unwrap();
    assert_eq!((same_name.message.as_str(), same_name.result), (first.message.as_str(), FilingResult::Skipped));
    let cur = root.path().join("ada@example.com").join(FOLDER).join("cur");
    fs::rename(cur.join(format!("{}:2,S", first.message)), cur.join(format!("{}:2,FRS", first.message))).unwrap();
    let again = maildir.file(&mailbox, &message(1), Attempt::Retry).await.unwrap();
    assert_eq!((again.message, again.result), (first.message, FilingResult::Skipped));
    let other = maildir.file(&mailbox, &message(2), Attempt::Retry).await.unwrap();
    assert_eq!(other.result, FilingResult::Imported);
    assert_eq!(names(&cur).len(), 2);
}

#[tokio::test]
async fn renamed_mailbox_gets_no_second_copy() {
    let (root, maildir) = root_with("ada@example.com");
    let before = find(&maildir, "ada@example.com").await.unwrap();
    let filed = maildir.file(&before, &message(1), Attempt::First).await.unwrap();
    fs::rename(root.path().join("ada@example.com"), root.path().join("ada@example.org")).unwrap();
    let after = find(&maildir, "ada@example.org").await.unwrap();
    let again = maildir.file(&after, &message(1), Attempt::Retry).await.unwrap();
    assert_eq!((again.result, again.message), (FilingResult::Skipped, filed.message));
    // With a link under the old name both addresses belong to one mailbox.
    symlink("ada@example.org", root.path().join("ada@example.com")).unwrap();
    assert_eq!(find(&maildir, "ada@example.com").await.unwrap().id, after.id);
}

/// Two items were captured from one WhatsApp message and share its Message-ID.
#[tokio::test]
async fn copies_of_two_items_with_one_message_id_are_distinct() {
    let (root, maildir) = root_with("ada@example.com");
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    let (bare, whole) = (message(1), Message { item: "WA-2".parse().unwrap(), ..message(1) });
    let first = maildir.file(&mailbox, &bare, Attempt::First).await.unwrap();
    assert_eq!(maildir.holds(&mailbox, &whole.identity()).await.unwrap(), None);
    let second = maildir.file(&mailbox, &whole, Attempt::Retry).await.unwrap();
    assert_eq!(second.result, FilingResult::Imported);
    for (message, filed) in [(&bare, first), (&whole, second)] {
        let again = maildir.file(&mailbox, message, Attempt::Retry).await.unwrap();
        assert_eq!((again.result, &again.message), (FilingResult::Skipped, &filed.message));
        assert_eq!(maildir.holds(&mailbox, &message.identity()).await.unwrap(), Some(filed.message));
    }
    assert_eq!(names(&root.path().join("ada@example.com").join(FOLDER).join("cur")).len(), 2);
}

#[tokio::test]
async fn lookup_creates_nothing() {
    let (root, maildir) = root_with("ada@example.com");
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    let holds = async |number: u32| maildir.holds(&mailbox, &message(number).identity()).await;
    assert_eq!(holds(1).await.unwrap(), None);
    assert!(names(&root.path().join("ada@example.com")).is_empty(), "no folder is created");
    let filed = maildir.file(&mailbox, &message(1), Attempt::First).await.unwrap();
    assert_eq!(holds(1).await.unwrap().as_deref(), Some(filed.message.as_str()));
    assert_eq!(holds(2).await.unwrap(), None);
    let folder = root.path().join("ada@example.com").join(FOLDER);
    let copy = folder.join("cur").join(format!("{}:2,S", filed.message));
    fs::rename(&copy, folder.join("tmp").join("draft")).unwrap();
    assert_eq!(holds(1).await.unwrap(), None, "a draft is not a copy");
    fs::rename(folder.join("tmp").join("draft"), folder.join("new").join(&filed.message)).unwrap();
    assert_eq!(holds(1).await.unwrap().as_deref(), Some(filed.message.as_str()));
    // A folder that is a link is not used, and a missing mailbox is an error and not a missing copy.
    let elsewhere = TempDir::new().unwrap();
    fs::rename(&folder, elsewhere.path().join("moved")).unwrap();
    symlink(elsewhere.path().join("moved"), &folder).unwrap();
    assert!(matches!(holds(1).await, Err(MailboxError::Configuration { .. })));
    fs::remove_dir_all(root.path().join("ada@example.com")).unwrap();
    assert!(matches!(holds(1).await, Err(MailboxError::NoMailbox { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn eight_concurrent_filings_leave_one_copy() {
    let (root, maildir) = root_with("ada@example.com");
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    for number in 0..20 {
        let start = Arc::new(tokio::sync::Barrier::new(8));
        let deliveries: Vec<_> = (0..8)
            .map(|_| {
                let (maildir, mailbox, start) = (maildir.clone(), mailbox.clone(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    maildir.file(&mailbox, &message(number), Attempt::First).await.unwrap().result
                })
            })
            .collect();
        let mut imported = 0;
        for delivery in deliveries {
            imported += usize::from(delivery.await.unwrap() == FilingResult::Imported);
        }
        assert_eq!(imported, 1);
    }
    let folder = root.path().join("ada@example.com").join(FOLDER);
    assert_eq!(names(&folder.join("cur")).len(), 20);
    assert!(names(&folder.join("tmp")).is_empty());
}

#[tokio::test]
async fn failed_filing_is_classified() {
    let (root, maildir) = root_with("ada@example.com");
    let elsewhere = TempDir::new().unwrap();
    let mailbox = find(&maildir, "ada@example.com").await.unwrap();
    let dateless = Message { mime: b"Subject: x\r\n\r\n"[..].into(), ..message(1) };
    let refused = maildir.file(&mailbox, &dateless, Attempt::First).await;
    assert!(matches!(refused, Err(MailboxError::Rejected { .. })));
    // The mailbox's owner has created a link that leads out of the mailbox.
    symlink(elsewhere.path(), root.path().join("ada@example.com").join(FOLDER)).unwrap();
    let link = maildir.file(&mailbox, &message(1), Attempt::First).await;
    assert!(matches!(link, Err(MailboxError::Configuration { .. })));
    assert!(names(elsewhere.path()).is_empty());
    // The mailbox is removed between the lookup and the filing.
    fs::remove_dir_all(root.path().join("ada@example.com")).unwrap();
    let gone = maildir.file(&mailbox, &message(1), Attempt::First).await;
    assert!(matches!(gone, Err(MailboxError::NoMailbox { .. })));
    let escape = Mailbox { id: "../elsewhere".to_owned(), ..mailbox };
    assert!(maildir.file(&escape, &message(1), Attempt::First).await.is_err());
}
