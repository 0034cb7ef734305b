//! A message that fits into one request.

use graph_fake::{CLIENT_SECRET, Fault, Gate, Kind, On, Quirks};
use mailbox::{Attempt, Mailboxes, graph::Way};
use model::FilingResult;

use crate::support::{
    ADA, FOLDER, SecretStore, assert_one_complete_copy, bytes, config, file, graph, graph_with, mailbox, message,
    message_of, tenant,
};

#[tokio::test]
async fn message_keeps_its_sender_dates_and_headers() {
    let fake = tenant().await;
    let files: [(&str, &[u8]); 2] = [("note.txt", b"a\r\n"), ("whatsapp-item.json", b"{}")];
    let filed = file(&graph(&fake), &message("WA-1/a 'b'", &files), Attempt::First).await;
    // A Message-ID with a quote and a space is invalid; convert creates none.
    assert!(filed.is_err());

    let mut sound = message("WA-1", &files);
    sound.item = "WA-1/a 'b' é".parse().unwrap();
    let filed = file(&graph(&fake), &sound, Attempt::First).await.unwrap();
    assert_eq!(filed.result, FilingResult::Imported);
    assert_one_complete_copy(&fake, &files);
    let stored = &fake.visible(ADA)[0];
    assert_eq!(stored.id, filed.message);
    assert_eq!((stored.folder.as_str(), stored.is_read), (FOLDER, true));
    assert_eq!(stored.subject, "WhatsApp: Team");
    assert_eq!((stored.body_type.as_str(), stored.body.trim()), ("html", "<p>hello</p>"));
    let sender = Some(("S. Jensen (+45 20 12 34 56)".to_owned(), "4520123456@whatsapp.invalid".to_owned()));
    assert_eq!((&stored.from, &stored.sender), (&sender, &sender));
    assert_eq!(stored.to, [("Ada".to_owned(), ADA.to_owned())]);
    assert_eq!(stored.internet_message_id, "<WA-1@archive.example>");
    let headers = [("x-wa-kind", "text"), ("x-wa-chat", "abc")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(stored.headers, headers);
    let property = |id: &str| stored.properties.get(id).map(String::as_str);
    assert_eq!(property("Integer 0x0E07"), Some("1"));
    assert_eq!(property("SystemTime 0x0E06"), Some("2026-11-22T07:00:00Z"));
    assert_eq!(property("SystemTime 0x0039"), Some("2026-11-22T07:00:00Z"));
    assert_eq!(property("String 0x001A"), Some("IPM.ExternalData.WhatsAppArchiver"));
    assert_eq!(property("String 0x1042"), Some("<root@archive.example>"));
    assert_eq!(property("String 0x1039"), Some("<root@archive.example>"));
    assert!(stored.properties.iter().any(|(id, value)| id.ends_with("Name ArchiveItemId") && value == "WA-1/a 'b' é"));
}

#[tokio::test]
async fn small_message_is_filed_with_one_request() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    graph.file(&ada, &message("0", &[]), Attempt::First).await.unwrap();
    fake.forget_requests();
    let big = bytes(1, 2_900_000);
    graph.file(&ada, &message("1", &[("a", &big), ("b", b"b")]), Attempt::First).await.unwrap();
    assert_eq!(fake.requests(), [Kind::MessageCreate]);
}

#[tokio::test]
async fn retry_finds_the_existing_copy() {
    let fake = tenant().await;
    let first = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    let again = file(&graph(&fake), &message("1", &[]), Attempt::Retry).await.unwrap();
    assert_eq!((again.result, &again.message), (FilingResult::Skipped, &first.message));
    let other = file(&graph(&fake), &message("2", &[]), Attempt::Retry).await.unwrap();
    assert_eq!(other.result, FilingResult::Imported);
    assert_eq!(fake.visible(ADA).len(), 2);
}

#[tokio::test]
async fn message_without_recipients_or_files_is_filed() {
    let fake = tenant().await;
    let mut bare = message("1", &[]);
    bare.mime = "Date: Sun, 22 Nov 2026 07:00:00 +0000\r\n\r\nhello\r\n".into();
    file(&graph(&fake), &bare, Attempt::First).await.unwrap();
    assert_eq!(fake.visible(ADA)[0].body.trim(), "hello");
}

#[tokio::test]
async fn rejected_foreign_sender_is_shown_in_the_body() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { refuses_foreign_from: true, ..Quirks::default() });
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[0];
    assert_eq!(stored.from.as_ref().map(|(_, address)| address.as_str()), Some(ADA));
    assert!(stored.body.contains("4520123456@whatsapp.invalid&gt;"), "{}", stored.body);
    assert!(stored.properties.contains_key("String 0x001A"), "the message class is kept");
}

#[tokio::test]
async fn all_rejected_properties_are_left_out() {
    let fake = tenant().await;
    fake.set_quirks(Quirks { refuses_foreign_from: true, refuses_message_class: true, ..Quirks::default() });
    file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap();
    assert_one_complete_copy(&fake, &[]);
}

#[tokio::test]
async fn recipients_are_shortened_when_the_tenant_rejects_them() {
    let many: Vec<_> = (0..1100).map(|number| format!("{number}@whatsapp.invalid")).collect();
    let many = many.join(",\r\n ");
    let fake = tenant().await;
    file(&graph(&fake), &message_of("1", "1@whatsapp.invalid", &many, &[]), Attempt::First).await.unwrap();
    assert_eq!(fake.visible(ADA)[0].to.len(), 1100);

    fake.set_quirks(Quirks { max_recipients: Some(500), ..Quirks::default() });
    file(&graph(&fake), &message_of("2", "1@whatsapp.invalid", &many, &[]), Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[1];
    assert_eq!(stored.to.len(), 500);
    assert!(stored.body.contains("500 of 1100"), "{}", stored.body);
}

#[tokio::test]
async fn concurrent_requests_to_a_mailbox_are_limited() {
    let fake = tenant().await;
    let graph = graph(&fake);
    let ada = mailbox(&graph, ADA).await;
    graph.file(&ada, &message("0", &[]), Attempt::First).await.unwrap();
    let gate = Gate::default();
    fake.fault(On::kind(Kind::MessageCreate).times(4), Fault::HoldBefore(gate.clone()));
    let messages: Vec<_> = (1..=12).map(|item| message(&item.to_string(), &[])).collect();
    let filings = messages.iter().map(|message| graph.file(&ada, message, Attempt::First));
    let (filed, ()) = tokio::join!(futures::future::join_all(filings), async {
        gate.reached(4).await;
        gate.open();
    });
    assert!(filed.iter().all(Result::is_ok), "{filed:?}");
    assert_eq!(fake.peak(ADA), 4);
    assert_eq!(fake.count(Kind::MessageCreate), 13, "no request was throttled");
}

#[tokio::test]
async fn too_many_concurrent_requests_are_throttled() {
    let fake = tenant().await;
    let mut greedy = config(&fake);
    greedy.requests_per_mailbox = 8;
    let graph = graph_with(greedy, SecretStore::with(CLIENT_SECRET));
    let ada = mailbox(&graph, ADA).await;
    graph.file(&ada, &message("0", &[]), Attempt::First).await.unwrap();
    let gate = Gate::default();
    fake.fault(On::kind(Kind::MessageCreate).times(4), Fault::HoldBefore(gate.clone()));
    let messages: Vec<_> = (1..=8).map(|item| message(&item.to_string(), &[])).collect();
    let (filed, ()) = tokio::join!(
        futures::future::join_all(messages.iter().map(|message| graph.file(&ada, message, Attempt::First))),
        async {
            gate.reached(4).await;
            gate.open();
        }
    );
    assert!(fake.peak(ADA) > 4 && filed.iter().any(Result::is_err), "the fake counts");
}

#[tokio::test]
async fn draft_created_by_graph_is_removed() {
    for quirks in
        [Quirks { makes_drafts: true, ..Quirks::default() }, Quirks { ignores_dates: true, ..Quirks::default() }]
    {
        let fake = tenant().await;
        fake.set_quirks(quirks);
        let error = file(&graph(&fake), &message("1", &[]), Attempt::First).await.unwrap_err();
        assert!(matches!(error, mailbox::MailboxError::Configuration { .. }), "{error:?}");
        assert!(fake.messages(ADA).is_empty());
        fake.set_quirks(Quirks::default());
        file(&graph(&fake), &message("1", &[]), Attempt::Retry).await.unwrap();
        assert_one_complete_copy(&fake, &[]);
    }
}

/// Every later lookup would miss the copy.
#[tokio::test]
async fn copy_with_another_message_id_is_not_published() {
    let big = bytes(1, 4_200_000);
    for (way, file_bytes) in [(Way::Json, &b"x"[..]), (Way::Json, &big), (Way::Mime, b"x")] {
        let fake = tenant().await;
        fake.grant_mime_import();
        let mut config = config(&fake);
        config.way = way;
        let graph = graph_with(config, SecretStore::with(CLIENT_SECRET));
        fake.set_quirks(Quirks { changes_message_ids: true, ..Quirks::default() });
        let files = [("a", file_bytes)];
        let error = file(&graph, &message("1", &files), Attempt::First).await.unwrap_err();
        assert!(
            matches!(&error, mailbox::MailboxError::Configuration { detail } if detail.contains("Message-ID")),
            "{error:?}"
        );
        assert!(fake.messages(ADA).is_empty());
        assert_eq!(fake.count(Kind::MessageMove), 0, "a large message stays hidden");
        fake.set_quirks(Quirks::default());
        file(&graph, &message("1", &files), Attempt::Retry).await.unwrap();
        assert_eq!(fake.visible(ADA).len(), 1);
    }
}

/// In JSON a control character takes six bytes.
#[tokio::test]
async fn text_too_long_for_json_is_attached_as_a_file() {
    let fake = tenant().await;
    let text = "\u{1}\u{2}\r\n".repeat(350_000);
    let mut message = message("1", &[]);
    let mime = String::from_utf8(message.mime.in_memory().to_vec()).unwrap();
    message.mime = mime.replace("<p>hello</p>", &text).into();
    file(&graph(&fake), &message, Attempt::First).await.unwrap();
    let stored = &fake.visible(ADA)[0];
    assert!(stored.body.contains("message.html"), "{}", stored.body);
    assert_eq!(stored.attachments.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["message.html"]);
    assert!(stored.attachments[0].bytes.starts_with(b"\x01\x02\r\n"));
}
