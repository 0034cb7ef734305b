//! A mail server threads the filed messages of a chat as a conversation.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use dovecot::{Dovecot, Options};
use harness::{FOLDER, ItemSource, MailSystem, Pipeline};
use jiff::Timestamp;
use local::sample_source::{Sample, user_map};
use mail_parser::{HeaderValue, MessageParser};

use crate::sample_day::addresses;

/// Threading headers of a mail.
struct Mail {
    uid: u32,
    id: String,
    kind: String,
    chat: String,
    replied_to: Option<String>,
}

fn mail(uid: u32, bytes: &[u8]) -> anyhow::Result<Mail> {
    let parsed = MessageParser::default().parse(bytes).context("invalid mail")?;
    let text = |name: &str| parsed.header_raw(name).unwrap_or_default().trim().to_owned();
    let replied_to = match parsed.in_reply_to() {
        HeaderValue::Text(id) => Some(id.to_string()),
        _ => None,
    };
    let id = parsed.message_id().context("no Message-ID")?.to_owned();
    Ok(Mail { uid, id, kind: text("X-WA-Kind"), chat: text("X-WA-Chat"), replied_to })
}

/// Returns the thread and the parent of each UID. In `(1 2 (3)(4))`, 1 is the parent of 2, and 2 of 3 and 4.
fn threads(line: &str) -> anyhow::Result<BTreeMap<u32, (usize, Option<u32>)>> {
    let mut parents = BTreeMap::new();
    let (mut ancestors, mut last, mut thread) = (Vec::new(), None, 0);
    let mut remaining = line.strip_prefix("* THREAD ").context("no response to THREAD")?;
    while let Some(first) = remaining.chars().next() {
        match first {
            '(' => {
                thread += usize::from(ancestors.is_empty());
                ancestors.push(last);
            }
            ')' => last = ancestors.pop().context("an unmatched closing bracket")?,
            ' ' => {}
            _ => {
                let end = remaining.find([' ', '(', ')']).unwrap_or(remaining.len());
                let uid = remaining[..end].parse()?;
                parents.insert(uid, (thread, last));
                last = Some(uid);
                remaining = &remaining[end..];
                continue;
            }
        }
        remaining = &remaining[1..];
    }
    ensure!(ancestors.is_empty(), "an unmatched opening bracket");
    Ok(parents)
}

#[tokio::test]
async fn replies_are_threaded_and_a_chat_is_one_conversation() -> anyhow::Result<()> {
    let addresses = addresses()?;
    let server = Dovecot::start(&Options { users: addresses.clone(), ..Options::default() })?;
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Imap(&server, &addresses[0]), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    pipeline.run(&Pipeline::timer()).await?;

    let mut with_parent = BTreeSet::new();
    for address in &addresses {
        let copies = server.copies(address, FOLDER)?;
        let mails: Vec<_> = copies.iter().map(|copy| mail(copy.uid, &copy.bytes)).collect::<Result<_, _>>()?;
        if mails.is_empty() {
            continue;
        }
        let response = server.run_in(address, FOLDER, "UID THREAD REFERENCES UTF-8 ALL")?;
        let line = response.iter().find(|line| line.starts_with("* THREAD")).context("no threads")?;
        let parents = threads(line)?;
        assert_eq!(parents.len(), mails.len());
        let by_id: BTreeMap<_, _> = mails.iter().map(|mail| (mail.id.as_str(), mail.uid)).collect();
        let mut thread_of = BTreeMap::new();
        for mail in &mails {
            let (thread, parent_uid) = parents[&mail.uid];
            if let Some(parent) = mail.replied_to.as_deref().and_then(|id| by_id.get(id)) {
                assert_eq!(
                    parent_uid,
                    Some(*parent),
                    "{} of {} is not a child of the mail that it replies to",
                    mail.kind,
                    mail.id
                );
                with_parent.insert(mail.kind.clone());
            }
            let chat_thread = thread_of.entry(mail.chat.as_str()).or_insert(thread);
            assert_eq!(*chat_thread, thread, "a chat has more than one conversation");
        }
    }
    for kind in ["delete", "edit", "reaction", "text"] {
        assert!(
            with_parent.contains(kind),
            "the sample has no {kind} that is a child of another mail: {with_parent:?}"
        );
    }
    Ok(())
}
