//! Servers that misbehave: no response costs unbounded memory or time, or an item.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbox::{Attempt, MailboxError, Mailboxes};
use model::FilingResult;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::support::{
    ADA, BOB, SecretStore, assert_not_sent, assert_outcome_unknown, config, file, imap_with, message, setup,
    unavailable, unrecognized,
};

/// Returns the response to a command with this name; `%` stands for the command's tag.
type Script = fn(&str) -> Option<Vec<u8>>;

const GREETING: &[u8] = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR LITERAL+ UIDPLUS] ready\r\n";

/// Starts a server that responds correctly unless the script has a response.
async fn scripted(greeting: Vec<u8>, script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("imap://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let greeting = greeting.clone();
            // The client may hang up.
            tokio::spawn(async move { converse(client, &greeting, script).await.ok() });
        }
    });
    host
}

async fn converse(client: tokio::net::TcpStream, greeting: &[u8], script: Script) -> std::io::Result<()> {
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader);
    writer.write_all(greeting).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (tag, command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !tag.starts_with('A') || command.chars().any(|letter| !letter.is_ascii_uppercase()) {
            continue;
        }
        let command = if command == "AUTHENTICATE" && !names_a_user(&line) { UNKNOWN_USER } else { command };
        let correct = match command {
            UNKNOWN_USER => "% NO [AUTHENTICATIONFAILED] unknown user\r\n",
            "AUTHENTICATE" => "% OK [CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS] in\r\n",
            "LIST" => "* LIST () \"/\" \"WhatsApp Archiver\"\r\n% OK done\r\n",
            "APPEND" => "% OK [APPENDUID 1 1] done\r\n",
            _ => "% OK done\r\n",
        };
        let reply = script(command).unwrap_or_else(|| correct.as_bytes().to_vec());
        for part in reply.split_inclusive(|&byte| byte == b'\n') {
            let part = part.strip_prefix(b"%").map_or_else(|| part.to_vec(), |rest| [tag.as_bytes(), rest].concat());
            writer.write_all(&part).await?;
        }
    }
}

/// The name that a script gets for the login as a user that the server does not know.
const UNKNOWN_USER: &str = "AUTHENTICATE of an unknown user";

/// Returns whether the login names a user of the scripted server.
fn names_a_user(authenticate: &str) -> bool {
    let response = authenticate.split_whitespace().last().unwrap_or_default();
    let response = String::from_utf8(STANDARD.decode(response).unwrap_or_default()).unwrap_or_default();
    [ADA, BOB, "ada@example.org", "probe@example.com"].iter().any(|user| response.contains(user))
}

/// Time limit for a response that does not come.
const SHORT: Duration = Duration::from_millis(500);

async fn filed_at(host: &str) -> Result<(), MailboxError> {
    filed_within(SHORT, host).await
}

async fn filed_within(response_time: Duration, host: &str) -> Result<(), MailboxError> {
    let mut config = config(host);
    config.response_timeout = response_time;
    let imap = imap_with(config, SecretStore::with("secret", None));
    let mailbox = imap.find(&ADA.parse().unwrap()).await?.unwrap();
    imap.file(&mailbox, &message("1", 0), Attempt::First).await.map(drop)
}

async fn filed(script: Script) -> Result<(), MailboxError> {
    filed_at(&scripted(GREETING.to_vec(), script).await).await
}

#[tokio::test]
async fn empty_script_is_a_working_server() {
    filed(|_| None).await.unwrap();
}

#[tokio::test]
async fn garbage_and_endless_responses_are_temporary_failures() {
    /// The first scripts exceed the size limit.
    const TOO_LONG: usize = 5;
    let scripts: [Script; 9] = [
        |command| (command == "LIST").then(|| vec![b'x'; 3 << 20]),
        |command| (command == "LIST").then(|| [b"* LIST () ".as_slice(), &vec![b'('; 3 << 20]].concat()),
        |command| (command == "LIST").then(|| b"* LIST () {99999999999999999999}\r\n".to_vec()),
        |command| (command == "LIST").then(|| b"* LIST () {3000000}\r\nabc".to_vec()),
        |command| (command == "LIST").then(|| b"* OK still here\r\n".repeat(100_000)),
        |command| (command == "APPEND").then(|| b"\xff\xfe\0\r\n% OK\r\n".to_vec()),
        |command| (command == "APPEND").then(|| b"B7 OK of something else\r\n".to_vec()),
        |command| (command == "APPEND").then(|| b"+ more\r\n".to_vec()),
        |command| (command == "APPEND").then(Vec::new),
    ];
    for (index, script) in scripts.into_iter().enumerate() {
        // The size limit ends these, not the time limit.
        let too_long = index < TOO_LONG;
        let time = if too_long { Duration::from_secs(60) } else { SHORT };
        let host = scripted(GREETING.to_vec(), script).await;
        let error = filed_within(time, &host).await.unwrap_err();
        // After the message was sent the outcome is unknown.
        if index < TOO_LONG {
            assert_not_sent(&error)
        } else {
            assert_outcome_unknown(&error)
        }
        assert_eq!(error.to_string().contains("exceeds"), too_long, "{index}: {error}");
    }
}

#[tokio::test]
async fn unknown_responses_are_ignored() {
    filed(|command| {
        let strange = "* XYZZY (((( \"\\\r\n* 7 EXISTS\r\n* ESEARCH (TAG \"x\") ALL 1\r\n* OK [ALERT] hello\r\n";
        match command {
            "LIST" => Some(format!("{strange}* LIST () NIL INBOX\r\n% OK\r\n").into_bytes()),
            "APPEND" => Some(format!("{strange}% OK [APPENDUID 1 1]\r\n").into_bytes()),
            _ => None,
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn secret_is_sent_to_imap_servers_only() {
    for greeting in [&b"220 smtp.example.com ESMTP\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"* WHAT\r\n"] {
        let host = scripted(greeting.to_vec(), |_| None).await;
        unavailable(&filed_at(&host).await.unwrap_err());
    }
    let host = scripted(b"* PREAUTH come in\r\n".to_vec(), |_| None).await;
    setup(&filed_at(&host).await.unwrap_err());
    let host = scripted(b"* BYE too many connections\r\n".to_vec(), |_| None).await;
    unavailable(&filed_at(&host).await.unwrap_err());
    let host = scripted(b"* OK [CAPABILITY IMAP4rev1 AUTH=GSSAPI] hello\r\n".to_vec(), |_| None).await;
    assert!(setup(&filed_at(&host).await.unwrap_err()).contains("PLAIN"));
}

#[tokio::test]
async fn bye_leaves_the_outcome_unknown_only_after_the_message() {
    let bye: Script = |command| (command == "APPEND").then(|| b"* BYE shutting down\r\n".to_vec());
    assert_outcome_unknown(&filed(bye).await.unwrap_err());
    // Without LITERAL+ the server has to accept the size first.
    let greeting = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n".to_vec();
    let script: Script = |command| match command {
        "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1] in\r\n".to_vec()),
        "APPEND" => Some(b"* BYE shutting down\r\n".to_vec()),
        _ => None,
    };
    assert_not_sent(&filed_at(&scripted(greeting, script).await).await.unwrap_err());
}

#[tokio::test]
async fn requested_backoff_of_exchange_online_is_used() {
    let error = filed(|command| {
        let words = "% BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds\r\n";
        (command == "APPEND").then(|| words.into())
    })
    .await
    .unwrap_err();
    assert!(
        matches!(&error, MailboxError::Unavailable { retry_after: Some(wait), .. } if *wait == Duration::from_secs(90)),
        "{error:?}"
    );
    // The response does not prove that there is no mailbox, even with a probe mailbox.
    let words: Script =
        |command| (command == "LIST").then(|| "% BAD User is authenticated but not connected.\r\n".into());
    let host = scripted(GREETING.to_vec(), words).await;
    let mut config = config(&host);
    config.probe = Some("probe@example.com".parse().unwrap());
    let imap = imap_with(config, SecretStore::with("secret", None));
    unavailable(&imap.find(&ADA.parse().unwrap()).await.unwrap_err());
    unavailable(&file(&imap, &message("1", 0), Attempt::First).await.unwrap_err());
}

#[tokio::test]
async fn message_above_appendlimit_is_not_sent() {
    let error = filed(|command| match command {
        "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1 LITERAL+ APPENDLIMIT=300] in\r\n".to_vec()),
        "APPEND" => Some(b"% NO this must not be sent\r\n".to_vec()),
        _ => None,
    })
    .await
    .unwrap_err();
    assert!(matches!(&error, MailboxError::Rejected { detail } if detail.contains("APPENDLIMIT")), "{error:?}");
}

#[tokio::test]
async fn search_without_a_result_is_not_a_missing_copy() {
    let script: Script = |command| match command {
        "EXAMINE" => Some(b"* OK [UIDVALIDITY 1] valid\r\n% OK\r\n".to_vec()),
        _ => None,
    };
    let host = scripted(GREETING.to_vec(), script).await;
    let imap = imap_with(config(&host), SecretStore::with("secret", None));
    unavailable(&file(&imap, &message("1", 0), Attempt::Retry).await.unwrap_err());
}

#[tokio::test]
async fn rejected_namespace_falls_back_to_list() {
    let scripts: [Script; 2] = [
        |command| match command {
            "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1 NAMESPACE LITERAL+] in\r\n".to_vec()),
            "NAMESPACE" => Some(b"% BAD Unknown command\r\n".to_vec()),
            _ => None,
        },
        |command| match command {
            "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1 NAMESPACE LITERAL+] in\r\n".to_vec()),
            "NAMESPACE" => Some(b"% NO This command is disabled by the system administrator.\r\n".to_vec()),
            _ => None,
        },
    ];
    for script in scripts {
        filed(script).await.unwrap();
    }
    // A transient failure of the server is not worked around with another command.
    let error = filed(|command| match command {
        "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1 NAMESPACE LITERAL+] in\r\n".to_vec()),
        "NAMESPACE" => Some(b"% NO [UNAVAILABLE] try again\r\n".to_vec()),
        _ => None,
    });
    unavailable(&error.await.unwrap_err());
}

#[tokio::test]
async fn untagged_bad_ends_the_wait_for_the_continuation() {
    let greeting = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n".to_vec();
    let host = scripted(greeting, |command| match command {
        "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1] in\r\n".to_vec()),
        "APPEND" => Some(b"* OK Still here\r\n* BAD Line too long\r\n".to_vec()),
        _ => None,
    })
    .await;
    // A minute, so that a wait for the tag would not end here.
    let error = filed_within(Duration::from_secs(60), &host).await.unwrap_err();
    assert!(unrecognized(&error).contains("line too long"), "{error}");
}

#[tokio::test]
async fn unknown_refusal_is_reported_with_the_servers_technical_words() {
    let scripts: [(Script, &str); 3] = [
        (
            |command| (command == "APPEND").then(|| b"% BAD Line too long for ada@example.com\r\n".to_vec()),
            "BAD \"line too long …\" to APPEND",
        ),
        (
            |command| (command == "APPEND").then(|| b"% NO parse error in message of Ada\r\n".to_vec()),
            "NO \"parse error in message of …\" to APPEND",
        ),
        (
            |command| {
                (command == "APPEND").then(|| b"% NO [LIMIT] Message has been copied too many times\r\n".to_vec())
            },
            "NO [LIMIT] \"message has been copied too … times\" to APPEND",
        ),
    ];
    for (script, expected) in scripts {
        let error = filed(script).await.unwrap_err();
        assert_eq!(unrecognized(&error), expected);
    }
}

#[tokio::test]
async fn untagged_bad_after_the_message_leaves_the_outcome_unknown() {
    let error = filed(|command| match command {
        "APPEND" => Some(b"* BAD Line too long\r\n".to_vec()),
        // A line of the message that looks like a command.
        "OK" => Some(Vec::new()),
        _ => None,
    })
    .await
    .unwrap_err();
    assert_outcome_unknown(&error);
    assert!(error.to_string().contains("line too long"), "{error}");
}

#[tokio::test]
async fn login_that_is_rejected_once_is_not_the_absence_of_a_mailbox() {
    static LOGINS: AtomicUsize = AtomicUsize::new(0);
    let host = scripted(GREETING.to_vec(), |command| {
        let first = command == "AUTHENTICATE" && LOGINS.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| b"% NO [AUTHENTICATIONFAILED] x\r\n".to_vec())
    })
    .await;
    let mut config = config(&host);
    config.probe = Some("probe@example.com".parse().unwrap());
    let imap = imap_with(config, SecretStore::with("secret", None));
    assert!(imap.find(&ADA.parse().unwrap()).await.unwrap().is_some());
    assert_eq!(LOGINS.load(Ordering::SeqCst), 3, "the mailbox, the probe mailbox, and the mailbox again");
}

/// Dovecot reports an internal error if a master user names a user without an entry in its user database.
#[tokio::test]
async fn server_that_fails_for_unknown_users_only_is_used() {
    filed(|command| (command == UNKNOWN_USER).then(|| b"% NO [UNAVAILABLE] internal error\r\n".to_vec()))
        .await
        .unwrap();
}

#[tokio::test]
async fn failed_login_does_not_prove_that_unknown_users_are_rejected() {
    static LOGINS: AtomicUsize = AtomicUsize::new(0);
    let error = filed(|command| match command {
        UNKNOWN_USER if LOGINS.fetch_add(1, Ordering::SeqCst) == 0 => Some(b"% NO [UNAVAILABLE] busy\r\n".to_vec()),
        UNKNOWN_USER => Some(b"% OK in\r\n".to_vec()),
        _ => None,
    });
    assert!(setup(&error.await.unwrap_err()).contains("separator"));
    // Too many connections prove nothing, however often the server reports them.
    let error = filed(|command| (command == UNKNOWN_USER).then(|| b"% NO [LIMIT] connections\r\n".to_vec()));
    unavailable(&error.await.unwrap_err());
}

#[tokio::test]
async fn login_is_checked_once_for_each_account_and_domain() {
    static LOGINS: AtomicUsize = AtomicUsize::new(0);
    let host = scripted(GREETING.to_vec(), |command| {
        LOGINS.fetch_add(usize::from(command == UNKNOWN_USER), Ordering::SeqCst);
        None
    })
    .await;
    let mut config = config(&host);
    config.domains.push("example.org".to_owned());
    let imap = imap_with(config, SecretStore::with("secret", None));
    for (address, checks) in [(ADA, 1), (BOB, 1), ("ada@example.org", 2), ("ada@example.org", 2)] {
        imap.find(&address.parse().unwrap()).await.unwrap();
        assert_eq!(LOGINS.load(Ordering::SeqCst), checks, "{address}");
    }
}

/// Without UIDPLUS the response to APPEND has no UID, and a search may miss the message.
#[tokio::test]
async fn ok_without_a_uid_is_a_filing_whatever_a_search_returns() {
    static APPENDS: AtomicUsize = AtomicUsize::new(0);
    fn without_uidplus(command: &str) -> Option<Vec<u8>> {
        match command {
            "AUTHENTICATE" => Some(b"% OK [CAPABILITY IMAP4rev1 LITERAL+] in\r\n".to_vec()),
            "EXAMINE" => Some(b"* OK [UIDVALIDITY 1] valid\r\n% OK\r\n".to_vec()),
            "APPEND" => {
                APPENDS.fetch_add(1, Ordering::SeqCst);
                Some(b"% OK done\r\n".to_vec())
            }
            _ => None,
        }
    }
    let misses: Script = |command| match command {
        "UID" => Some(b"* SEARCH\r\n% OK done\r\n".to_vec()),
        _ => without_uidplus(command),
    };
    let fails: Script = |command| match command {
        "UID" => Some(b"% NO [UNAVAILABLE] index\r\n".to_vec()),
        _ => without_uidplus(command),
    };
    for (search, attempt, appends) in
        [(misses, Attempt::First, 1), (misses, Attempt::Retry, 2), (fails, Attempt::First, 3)]
    {
        let host = scripted(GREETING.to_vec(), search).await;
        let imap = imap_with(config(&host), SecretStore::with("secret", None));
        let filed = file(&imap, &message("1", 0), attempt).await.unwrap();
        assert_eq!((filed.result, filed.message.as_str()), (FilingResult::Imported, "unknown"));
        assert_eq!(APPENDS.load(Ordering::SeqCst), appends, "it is appended once");
    }
}

#[tokio::test]
async fn rejected_search_hides_no_copy() {
    static SEARCHES: AtomicUsize = AtomicUsize::new(0);
    let host = scripted(GREETING.to_vec(), |command| match command {
        "EXAMINE" => Some(b"* OK [UIDVALIDITY 1] valid\r\n% OK\r\n".to_vec()),
        "UID" if SEARCHES.fetch_add(1, Ordering::SeqCst) == 0 => Some(b"* SEARCH\r\n% OK done\r\n".to_vec()),
        "UID" => Some(b"% BAD Unknown search key\r\n".to_vec()),
        _ => None,
    })
    .await;
    let imap = imap_with(config(&host), SecretStore::with("secret", None));
    file(&imap, &message("1", 0), Attempt::Retry).await.unwrap();
    assert_eq!(SEARCHES.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn failed_search_is_not_a_missing_copy() {
    static SEARCHES: AtomicUsize = AtomicUsize::new(0);
    static APPENDS: AtomicUsize = AtomicUsize::new(0);
    let host = scripted(GREETING.to_vec(), |command| match command {
        "EXAMINE" => Some(b"* OK [UIDVALIDITY 1] valid\r\n% OK\r\n".to_vec()),
        "UID" if SEARCHES.fetch_add(1, Ordering::SeqCst) == 0 => Some(b"* SEARCH\r\n% OK done\r\n".to_vec()),
        "UID" => Some(b"% NO Unable to lock index\r\n".to_vec()),
        "APPEND" => {
            APPENDS.fetch_add(1, Ordering::SeqCst);
            None
        }
        _ => None,
    })
    .await;
    let imap = imap_with(config(&host), SecretStore::with("secret", None));
    unrecognized(&file(&imap, &message("1", 0), Attempt::Retry).await.unwrap_err());
    assert_eq!((SEARCHES.load(Ordering::SeqCst), APPENDS.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn hit_that_is_not_returned_is_not_counted_twice() {
    let host = scripted(GREETING.to_vec(), |command| match command {
        "EXAMINE" => Some(b"* OK [UIDVALIDITY 1] valid\r\n% OK\r\n".to_vec()),
        "UID" => Some(
            b"* SEARCH 1 2\r\n* 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {2}\r\n\r\n)\r\n\
              * 1 FETCH (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {2}\r\n\r\n)\r\n% OK done\r\n"
                .to_vec(),
        ),
        _ => None,
    })
    .await;
    let imap = imap_with(config(&host), SecretStore::with("secret", None));
    // UID 2 may be the copy.
    unavailable(&file(&imap, &message("1", 0), Attempt::Retry).await.unwrap_err());
}
