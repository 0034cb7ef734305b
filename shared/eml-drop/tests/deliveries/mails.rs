//! Mails as vendors write them, and hostile mails. All fixtures are our own.

use eml_drop::{Delivered, MailError, Participants, Profile, attachment, has_same_content, item_id, read};
use model::{AttachmentId, Captured, ItemId, Sha256};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

fn item_of(mail: &[u8], profile: &Profile) -> Result<Value, MailError> {
    let id = item_id(mail, profile);
    let received = "2026-11-21T01:00:00Z".parse().unwrap();
    let delivered =
        Delivered { id: &id, file: "inbox/v/a.zip", name: Some("1.eml"), received, sha256: Sha256::of(mail) };
    let value = read(mail, profile, &delivered)?;
    // Whatever is read is an item of the contract.
    let captured = Captured::from_value(value.clone(), &id).unwrap_or_else(|error| panic!("{error}"));
    assert!(captured.item.evidence().is_some());
    Ok(value)
}

fn lines(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

const PLAIN: &str = "Date: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: \"+447700900123 Client\" <447700900123@nomail.example>\n\
    To: \"Ana Sousa +351210000001\" <ana.sousa@bank.example>\nSubject: WhatsApp message\n\
    X-TELEMESSAGE-ArchiveMessageID: 5550001\nX-TELEMESSAGE-GroupID:\nX-TELEMESSAGE-THREAD_ID: 777\n\
    X-TELEMESSAGE-Status: Something New\nMIME-Version: 1.0\n\
    Content-Type: text/plain; charset=utf-8\n\nOl\u{e1}, tudo bem?\n";

#[test]
fn telemessage_mail_becomes_an_item_with_number_and_address() {
    let mail = lines(PLAIN);
    let item = item_of(&mail, &Profile::telemessage()).unwrap();
    let sha256 = Sha256::of(&mail).to_string();
    let field = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(
        item,
        json!({"id": "5550001", "type": "text", "messageTime": "2026-11-20T09:14:03Z", "archivedTime": "2026-11-21T01:00:00Z",
            "chat": {"id": "777", "type": "individual"},
            "from": {"name": "Client", "phone": "+447700900123"},
            "to": [{"name": "Ana Sousa", "phone": "+351210000001", "email": "ana.sousa@bank.example"}],
            "text": "Ol\u{e1}, tudo bem?",
            "attachments": [{"id": "evidence", "name": "whatsapp-item.eml", "contentType": "application/octet-stream",
                "size": mail.len(), "sha256": sha256, "evidence": true}],
            "mail": {"file": "inbox/v/a.zip", "name": "1.eml", "subject": "WhatsApp message", "fields": [
                field("X-TELEMESSAGE-ArchiveMessageID", "5550001"), field("X-TELEMESSAGE-GroupID", ""),
                field("X-TELEMESSAGE-THREAD_ID", "777"), field("X-TELEMESSAGE-Status", "Something New")]}})
    );
}

#[test]
fn kind_is_read_from_the_header() {
    let with = |header: &str| {
        item_of(&lines(&PLAIN.replace("X-TELEMESSAGE-GroupID:\n", header)), &Profile::telemessage()).unwrap()
    };
    let group = with("X-TELEMESSAGE-GroupID: g-1\nX-TELEMESSAGE-GROUP_NAME: =?utf-8?q?Equipa_caf=C3=A9?=\n");
    assert_eq!(group["chat"], json!({"id": "g-1", "type": "group", "name": "Equipa café"}));
    let call = with("X-TELEMESSAGE-MessageType: Missed Video Call\n");
    assert_eq!((&call["type"], &call["call"]), (&json!("call"), &json!({"media": "video", "status": "missed"})));
    let deleted = with("X-TELEMESSAGE-MessageType: DELETED\n");
    assert_eq!((&deleted["type"], &deleted["deletion"]), (&json!("delete"), &json!({})));
    assert_eq!(with("X-TELEMESSAGE-MessageType: Hologram v2\n")["type"], json!("Hologram v2"));
    assert_eq!(with("X-TELEMESSAGE-Network: WhatsApp Cloud\n")["network"], json!("WhatsApp Cloud"));
}

#[test]
fn files_keep_their_bytes_and_the_mail_is_the_evidence() {
    let mail = lines(
        "Date: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: \"+447700900123\" <447700900123@nomail.example>\nTo: ana@bank.example\n\
         X-TELEMESSAGE-ArchiveMessageID: 2\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
         Content-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\nsee the file\n--c\n\
         Content-Type: text/html\n\n<p>see the file</p>\n--c--\n--b\n\
         Content-Type: text/csv; charset=iso-8859-1\nContent-Disposition: attachment; filename=\"list.csv\"\n\
         Content-Transfer-Encoding: base64\n\nY2Fm6TsxCg==\n--b\nContent-Type: image/png\n\
         Content-Disposition: inline; filename=\"../../etc/passwd\"\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n\
         --b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=plain.txt\n\nas it is\n--b--\n",
    );
    let item = item_of(&mail, &Profile::telemessage()).unwrap();
    assert_eq!((&item["type"], &item["text"]), (&json!("document"), &json!("see the file")));
    let files = item["attachments"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["list.csv", "../../etc/passwd", "plain.txt", "whatsapp-item.eml"]);
    let bytes = |file: &Value| {
        let id = AttachmentId::try_from(file["id"].as_str().unwrap().to_owned()).unwrap();
        let bytes = attachment(&mail, &id).unwrap();
        assert_eq!(file["sha256"].as_str(), Some(Sha256::of(&bytes).to_string().as_str()));
        bytes
    };
    assert_eq!(bytes(&files[0]), b"caf\xe9;1\n", "not converted to UTF-8");
    assert_eq!(bytes(&files[1]), b"\x89PNG\r\n\x1a\n");
    assert_eq!(bytes(&files[2]), b"as it is");
    assert_eq!(bytes(&files[3]), mail);
    assert_eq!(attachment(&mail, &AttachmentId::try_from("part-99".to_owned()).unwrap()), None);
}

#[test]
fn html_is_the_text_where_the_plain_text_is_blank() {
    let text = |parts: &str| {
        let mail = lines(&format!(
            "Date: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: Ana <ana@bank.example>\nTo: bo@bank.example\nMessage-ID: <1@x>\n\
             MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"
        ));
        item_of(&mail, &Profile::generic("").unwrap()).unwrap()["text"].as_str().map(str::to_owned)
    };
    let alternative = |plain: &str, html: &str| {
        format!(
            "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\n\n{plain}\n\
             --c\nContent-Type: text/html\n\n{html}\n--c--\n"
        )
    };
    let note = "--b\nContent-Type: text/plain\n\nDisclaimer\n";
    for blank in ["", " ", "\u{a0}\u{200b}", "\n\n"] {
        let parts = alternative(blank, "<table><tr><td>Sell</td><td>100</td></tr></table>");
        assert_eq!(text(&parts).as_deref(), Some("Sell 100"), "{blank:?}");
        assert_eq!(text(&format!("{parts}{note}")).as_deref(), Some("Sell 100\nDisclaimer"), "{blank:?}");
    }
    assert_eq!(text(&alternative("Sell", "<p>Sell</p>")).as_deref(), Some("Sell"));
    assert_eq!(text(&alternative(" ", "<p>&nbsp;</p>")), None);
    assert_eq!(
        text(&format!("--b\nContent-Type: text/html\n\n<p>Sell</p>\n{note}")).as_deref(),
        Some("Sell\nDisclaimer")
    );
}

#[test]
fn encrypted_and_unreadable_mails_say_why() {
    let plain = |from: &str, to: &str| item_of(&lines(&PLAIN.replace(from, to)), &Profile::telemessage()).err();
    let encrypted = plain("X-TELEMESSAGE-Status", "X-TELEMESSAGE-ENC-DATAKEY");
    assert_eq!(encrypted, Some(MailError::Encrypted("header field X-TELEMESSAGE-ENC-DATAKEY".to_owned())));
    assert_eq!(plain("Date: Fri, 20 Nov 2026 09:14:03 +0000\n", ""), Some(MailError::NoDate));
    assert_eq!(plain("From: \"+447700900123 Client\" <447700900123@nomail.example>\n", ""), Some(MailError::NoSender));
    assert_eq!(item_of(b"", &Profile::telemessage()).err(), Some(MailError::Empty));
    assert_eq!(item_of(b"\x89PNG\r\n\x1a\n\r\n\0\0", &Profile::telemessage()).err(), Some(MailError::NotMail));
}

#[test]
fn mail_in_a_container_is_not_read_as_a_document() {
    let item = |content: &str| {
        let head = "From: \"+447700900123 Client\" <447700900123@nomail.example>\nTo: \"Ana\" <ana@bank.example>\n\
            Date: Fri, 20 Nov 2026 09:14:03 +0000\n";
        item_of(&lines(&format!("{head}{content}")), &Profile::telemessage())
    };
    let base64 = "\nContent-Transfer-Encoding: base64\n\nMIIB\n";
    let root = |content_type: &str| item(&format!("Content-Type: {content_type}{base64}")).err();
    let smime = Some(MailError::Encrypted("S/MIME".to_owned()));
    assert_eq!(root("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"), smime);
    assert_eq!(root("application/x-pkcs7-mime; name=smime.p7m"), smime);
    assert_eq!(root("Application/Octet-Stream; name=\"SMIME.P7M\""), smime);
    assert_eq!(root("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m"), Some(MailError::OpaquelySigned));
    let pgp = item(
        "Content-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\
        --b\nContent-Type: application/octet-stream\n\nx\n--b--\n",
    );
    assert_eq!(pgp.err(), Some(MailError::Encrypted("multipart/encrypted".to_owned())));

    // A person may send such a file.
    let mixed = |file: &str, text: &str| {
        item(&format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n{text}\n--b\nContent-Type: {file}{base64}--b--\n"
        ))
        .unwrap()
    };
    let contract = mixed("application/pkcs7-mime; name=contract.pdf.p7m", "signed");
    assert_eq!((&contract["type"], &contract["mail"]["notes"]), (&json!("document"), &Value::Null));
    let outlook = mixed("application/ms-tnef; name=winmail.dat", "Sell");
    assert_eq!((&outlook["type"], &outlook["text"]), (&json!("text"), &json!("Sell")));
    assert!(outlook["mail"]["notes"][0].as_str().unwrap().contains("winmail.dat"), "{outlook}");
    assert_eq!(outlook["attachments"].as_array().unwrap().len(), 2, "the container and the evidence");
}

#[test]
fn id_is_the_vendors_else_the_message_id_else_the_digest() {
    let id = |mail: &[u8], profile: &Profile| item_id(mail, profile).to_string();
    let telemessage = Profile::telemessage();
    assert_eq!(id(&lines(PLAIN), &telemessage), "5550001");
    let without = PLAIN.replace("X-TELEMESSAGE-ArchiveMessageID: 5550001", "Message-ID: <a.b@vendor.example>");
    assert_eq!(id(&lines(&without), &telemessage), "<a.b@vendor.example>");
    let neither = lines(&PLAIN.replace("X-TELEMESSAGE-ArchiveMessageID: 5550001\n", ""));
    assert_eq!(id(&neither, &telemessage), format!("sha256:{}", Sha256::of(&neither)));
    let long = "9".repeat(300);
    let too_long = lines(&PLAIN.replace("5550001", &long));
    assert_eq!(id(&too_long, &telemessage), format!("sha256:{}", Sha256::of(long.as_bytes())));
    assert!(id(b"", &telemessage).starts_with("sha256:"));
    assert_eq!(id(&lines(PLAIN), &Profile::generic("id=x-telemessage-thread_id").unwrap()), "777");
}

#[test]
fn repeated_mail_is_distinguished_from_another_with_its_id() {
    let profile = Profile::telemessage();
    let one = lines(PLAIN);
    let trace = b"Received: from a by b; Fri, 20 Nov 2026 10:00:00 +0000\r\nReturn-Path: <x@y.example>\r\n";
    let transported = [&trace[..], &one[..]].concat();
    assert!(has_same_content(&one, &transported, &profile));
    assert!(has_same_content(&one, &lines(&PLAIN.replace("Something New", "Delivered")), &profile));
    for (from, to) in
        [("tudo bem", "tudo mal"), ("09:14:03", "09:14:04"), ("Ana Sousa +351210000001", "Ana +351210000002")]
    {
        assert!(!has_same_content(&one, &lines(&PLAIN.replace(from, to)), &profile), "{to}");
    }
    assert!(!has_same_content(&one, b"", &profile));
}

/// A chat server's exporter for Global Relay.
#[test]
fn generic_profile_reads_an_export_for_global_relay() {
    let relay = lines(
        "MIME-Version: 1.0\nX-GlobalRelay-MsgType: Mattermost\nX-Mattermost-ChannelID: 7hj3\nX-Mattermost-ChannelName: Deals\n\
         X-Mattermost-ChannelType: private\nFrom: ana@bank.example\nTo: ana@bank.example,bo@bank.example,chi@bank.example\n\
         Subject: Mattermost Compliance Export: Deals\nDate: Fri, 20 Nov 2026 18:00:00 +0000\nPrecedence: bulk\n\
         Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=n\n\n--n\n\
         Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=UTF-8\n\nana: pre=C3=A7o?\nbo: 12\n--n\n\
         Content-Type: text/html; charset=UTF-8\n\n<ul><li>x</li></ul>\n--n--\n--m--\n",
    );
    let fields = "chat=X-Mattermost-ChannelID,group=X-Mattermost-ChannelID,chat-name=X-Mattermost-ChannelName,network=X-GlobalRelay-MsgType";
    let profile = Profile::generic(fields).unwrap().with_participants(Participants::Address);
    let item = item_of(&relay, &profile).unwrap();
    assert_eq!(item["network"], json!("Mattermost"));
    assert_eq!(item["chat"], json!({"id": "7hj3", "type": "group", "name": "Deals"}));
    assert_eq!(item["to"], json!([{"email": "bo@bank.example"}, {"email": "chi@bank.example"}]), "the sender once");
    assert_eq!(item["text"], json!("ana: preço?\nbo: 12"));
    assert!(item["id"].as_str().unwrap().starts_with("sha256:"));
}

/// An exporter of a team messenger, with HTML alone in an old character set.
#[test]
fn generic_profile_reads_html_in_an_old_character_set() {
    let messenger = lines(
        "Message-ID: <20261120.9d2@export.example>\nDate: Fri, 20 Nov 2026 18:00:00 -0500\n\
         From: =?UTF-8?B?0JDQvdC90LA=?= <anna@bank.example>\nTo: undisclosed-recipients:;\nBcc: \"Li Wei\" <li@bank.example>\n\
         X-Conversation-Id: dm-17\nX-Kind: chat\nSubject: direct message\nContent-Type: text/html; charset=windows-1251\n\
         Content-Transfer-Encoding: 8bit\n\n",
    );
    let messenger = [messenger, b"<div>\xcf\xf0\xe8\xe2\xe5\xf2</div>\r\n".to_vec()].concat();
    let item = item_of(&messenger, &Profile::generic("chat=X-Conversation-Id,type=X-Kind").unwrap()).unwrap();
    assert_eq!((&item["id"], &item["type"]), (&json!("<20261120.9d2@export.example>"), &json!("text")));
    assert_eq!((&item["from"]["name"], &item["text"]), (&json!("Анна"), &json!("Привет")));
    assert_eq!(item["to"], json!([{"name": "Li Wei", "email": "li@bank.example"}]));
    assert_eq!((&item["messageTime"], &item["chat"]["type"]), (&json!("2026-11-20T23:00:00Z"), &json!("individual")));
}

/// Exchange's journal.
#[test]
fn generic_profile_reads_the_mail_in_a_journal_report() {
    let journal = lines(
        "From: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@bank.example>\nTo: <journal@bank.example>\n\
         Date: Fri, 20 Nov 2026 19:00:00 +0000\nMessage-ID: <journal-1@bank.example>\nX-MS-Journal-Report:\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=j\n\n--j\nContent-Type: text/plain; charset=us-ascii\n\n\
         Sender: gateway@vendor.example\nSubject: WhatsApp with client\nMessage-Id: <m-9@vendor.example>\n\
         To: ana@bank.example\nTo: 447700900124@nomail.example\nBcc: audit@bank.example\nBcc: 447700900125@nomail.example\n\
         To: bo@bank.example, Expanded: team@bank.example\n--j\n\
         Content-Type: message/rfc822\n\nDate: Fri, 20 Nov 2026 18:59:00 +0000\nFrom: \"Client +447700900123\" <gateway@vendor.example>\n\
         To: ana@bank.example, <447700900124@nomail.example>\nMessage-ID: <m-9@vendor.example>\nSubject: WhatsApp with client\n\
         Content-Type: multipart/mixed; boundary=k\n\n--k\nContent-Type: text/plain\n\nhello\n--k\n\
         Content-Type: application/pdf\nContent-Disposition: attachment; filename=t.pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==\n--k--\n--j--\n",
    );
    let item = item_of(&journal, &Profile::generic("").unwrap()).unwrap();
    assert_eq!(item["id"], json!("<m-9@vendor.example>"));
    assert_eq!((&item["messageTime"], &item["text"]), (&json!("2026-11-20T18:59:00Z"), &json!("hello")));
    assert_eq!(item["from"]["phone"], json!("+447700900123"));
    let to = item["to"].as_array().unwrap().iter();
    let to: Vec<_> = to.map(|to| to["email"].as_str().or(to["phone"].as_str()).unwrap()).collect();
    // An address that is a number is the same participant in the mail and in the report.
    assert_eq!(to, ["ana@bank.example", "+447700900124", "audit@bank.example", "+447700900125", "bo@bank.example"]);
    let id = AttachmentId::try_from(item["attachments"][0]["id"].as_str().unwrap().to_owned()).unwrap();
    assert_eq!(attachment(&journal, &id).as_deref(), Some(&b"%PDF"[..]));
}

#[test]
fn hostile_mails_are_read_or_rejected_within_bounds() {
    let profile = Profile::telemessage();
    let head = "Date: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: a@example.com\nTo: b@example.com\n";
    let nested: String =
        (0..20_000).map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n")).collect();
    for mail in [
        format!("{head}{nested}"),
        format!("{head}Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(900)),
        format!(
            "{head}Content-Type: text/plain; charset=x-no-such\nContent-Transfer-Encoding: x-none\n\n\u{fffd}\u{202e}"
        ),
        format!("{head}Content-Type: multipart/mixed\n\nno boundary"),
        format!("{head}Subject: {}\n\nx", "=?utf-8?q?".repeat(10_000)),
        format!("{head}Content-Type: text/plain;{}\n\nx", "a=b;".repeat(100_000)),
        format!("{head}{}\n\nx", "Content-Type: message/rfc822\n\n".repeat(1_000)),
    ] {
        let mail = lines(&mail);
        let shown: String = String::from_utf8_lossy(&mail).chars().skip(90).take(60).collect();
        match item_of(&mail, &profile) {
            Ok(item) => assert_eq!(item["from"]["email"], json!("a@example.com"), "{shown}"),
            Err(MailError::TooComplex { .. }) => {}
            Err(error) => panic!("{error}: {shown}"),
        }
    }
    let huge = lines(&format!("{head}Cc: {}\n\nx", "a@example.com,".repeat(100_000)));
    assert!(matches!(item_of(&huge, &profile), Err(MailError::TooComplex { .. })));
    assert!(item_id(&huge, &profile).as_str().starts_with("sha256:"));
    let control = lines(&format!("{head}X-TELEMESSAGE-ArchiveMessageID: =?utf-8?q?a=07b?=\n\nx"));
    assert!(item_id(&control, &profile).as_str().parse::<ItemId>().is_ok());
}

proptest::proptest! {
    #[test]
    fn any_bytes_have_an_id_and_are_an_item_or_an_error(
        bytes: Vec<u8>,
        header in "(Date|From|To|Content-Type|X-TELEMESSAGE-GroupID): [ -~]{0,40}\r\n",
    ) {
        let mail = [header.as_bytes(), &lines(PLAIN)[..], &bytes[..]].concat();
        let _id = item_id(&bytes, &Profile::telemessage());
        let _either = item_of(&mail, &Profile::telemessage());
        let _either = item_of(&bytes, &Profile::telemessage());
    }
}

#[test]
fn date_with_an_unknown_zone_has_a_note() {
    let notes = |zone: &str| {
        let mail = lines(&PLAIN.replace("+0000", zone));
        let item = item_of(&mail, &Profile::telemessage()).unwrap();
        (item["messageTime"].as_str().unwrap().to_owned(), item["mail"]["notes"].as_array().map_or(0, Vec::len))
    };
    for (zone, time) in [
        ("+0100", "08:14:03"),
        ("-0000", "09:14:03"),
        ("+0100 (CET (Paris))", "08:14:03"),
        ("GMT", "09:14:03"),
        ("UT", "09:14:03"),
        ("UTC", "09:14:03"),
        ("Z", "09:14:03"),
        ("EDT", "13:14:03"),
        ("PST", "17:14:03"),
    ] {
        assert_eq!(notes(zone), (format!("2026-11-20T{time}Z"), 0), "{zone}");
    }
    for zone in ["CET", "CEST", "BST", "JST", "gmt", "est", "A", "GMT+1", "GMT +0100", "+1", "+01:00"] {
        assert_eq!(notes(zone).1, 1, "{zone}");
    }
    // A vendor that corrects the zone delivers the same message again.
    let read = |zone: &str| lines(&PLAIN.replace("+0000", zone));
    assert!(has_same_content(&read("CET"), &read("GMT"), &Profile::telemessage()));
}

#[test]
fn each_author_is_a_participant() {
    let people = |from: &str| {
        let mail = lines(&PLAIN.replace("From: \"+447700900123 Client\" <447700900123@nomail.example>\n", from));
        let item = item_of(&mail, &Profile::telemessage()).unwrap();
        let email = |person: &Value| person["email"].as_str().unwrap_or_default().to_owned();
        (email(&item["from"]), item["to"].as_array().unwrap().iter().map(email).collect::<Vec<_>>())
    };
    let two = "From: Ana <ana@bank.example>, Bo <bo@bank.example>\n";
    let sousa = "ana.sousa@bank.example";
    let expected =
        |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect::<Vec<_>>());
    assert_eq!(people(two), expected("ana@bank.example", &["bo@bank.example", sousa]));
    let by = |sender: &str| people(&format!("{two}Sender: {sender}\n"));
    assert_eq!(by("\"Bo B\" <BO@bank.example>"), expected("bo@bank.example", &["ana@bank.example", sousa]));
    assert_eq!(by("eve@bank.example"), expected("eve@bank.example", &["ana@bank.example", "bo@bank.example", sousa]));
    // A gateway that sends for one author.
    assert_eq!(people("From: ana@bank.example\nSender: eve@bank.example\n"), expected("ana@bank.example", &[sousa]));
    assert_eq!(people("Sender: eve@bank.example\n"), expected("eve@bank.example", &[sousa]));
}

#[test]
fn date_that_does_not_exist_is_rejected() {
    let with =
        |date: &str| item_of(&lines(&PLAIN.replace("Fri, 20 Nov 2026 09:14:03 +0000", date)), &Profile::telemessage());
    for (date, time) in [
        ("Tue, 29 Feb 2028 09:14:03 +0000", "2028-02-29T09:14:03Z"),
        ("31 Jan 26 09:14 +0100", "2026-01-31T08:14:00Z"),
        ("(a comment) Fri, 20 nov 2026 (another) 9:14:03 EST", "2026-11-20T14:14:03Z"),
        ("Fri,20 Nov 2026 09:14:03 -0930", "2026-11-20T18:44:03Z"),
        ("Sáb., 21 Nov 2026 09:14:03+0100", "2026-11-21T08:14:03Z"),
    ] {
        assert_eq!(with(date).unwrap()["messageTime"], time, "{date}");
    }
    for date in [
        "Tue, 31 Feb 2026 09:14:03 +0000",
        "Sat, 29 Feb 2026 09:14:03 +0000",
        "31 Jun 2026 09:14:03 +0000",
        "0 Jun 2026 09:14:03 +0000",
        "Fri, 20 Nov 2026 24:00:00 +0000",
        "Fri, 20 Nov 2026 23:59:60 +0000",
        // Forms of which mail-parser reads another date.
        "Fri Nov 20 09:14:03 +0000 2026",
        "Fri, 020 Nov 2026 09:14:03 +0000",
        "Fri, 20 Nov 2026 109:14:03 +0000",
        "Fri, 20 Nov 20261 09:14:03 +0000",
        "Fri, 20 11 2026 09:14:03 +0000",
        "Fri, 20 Nob 2026 09:14:03 +0000",
    ] {
        assert_eq!(with(date).err(), Some(MailError::NoDate), "{date}");
    }
    // An offset of more hours than a day has is not one.
    for zone in ["+2500", "+0175"] {
        let item = with(&format!("Fri, 20 Nov 2026 09:14:03 {zone}")).unwrap();
        assert_eq!(item["mail"]["notes"].as_array().map(Vec::len), Some(1), "{zone}");
    }
}

/// Returns the sender, the others and the notes of the mail with these header fields for its people.
fn people_of(fields: &str, profile: &Profile) -> (Value, Value, Vec<String>) {
    let from = "From: \"+447700900123 Client\" <447700900123@nomail.example>\n";
    let to = "To: \"Ana Sousa +351210000001\" <ana.sousa@bank.example>\n";
    let item = item_of(&lines(&PLAIN.replace(from, fields).replace(to, "")), profile).unwrap();
    let notes = item["mail"]["notes"].as_array().into_iter().flatten();
    let notes = notes.map(|note| note.as_str().unwrap().to_owned()).collect();
    (item["from"].clone(), item["to"].clone(), notes)
}

#[test]
fn comma_in_a_name_makes_no_participant() {
    let ana = json!({"name": "Sousa, Ana", "phone": "+351210000001", "email": "ana@bank.example"});
    let client = json!({"name": "Client", "phone": "+447700900123"});
    let by_ana = "Sousa, Ana +351210000001 <ana@bank.example>";
    let by_client = "Client <447700900123@nomail.example>";
    let telemessage = Profile::telemessage();
    for (fields, from, to) in [
        (format!("From: {by_ana}\nTo: {by_client}\n"), &ana, json!([client])),
        (format!("Sender: {by_ana}\nTo: {by_client}\n"), &ana, json!([client])),
        (
            format!("From: {by_client}\nTo: {by_ana}, Bo <bo@bank.example>\n"),
            &client,
            json!([ana, {"name": "Bo", "email": "bo@bank.example"}]),
        ),
        (format!("From: {by_client}\nCc: Team: {by_ana};\n"), &client, json!([ana])),
        (
            format!("From: {by_client}\nBcc: Bo <bo@bank.example>,\n {by_ana}\n"),
            &client,
            json!([{"name": "Bo", "email": "bo@bank.example"}, ana]),
        ),
    ] {
        let (found_from, found_to, notes) = people_of(&fields, &telemessage);
        assert_eq!((&found_from, &found_to, notes.len()), (from, &to, 1), "{fields}");
    }
    let (from, _, _) = people_of(
        "From: Sousa, Dr., Ana <ana@bank.example>\n",
        &Profile::generic("").unwrap().with_participants(Participants::Address),
    );
    assert_eq!(from, json!({"name": "Sousa, Dr., Ana", "email": "ana@bank.example"}));
    // The only address of From is the sender's, whatever is after it.
    let (from, to, notes) = people_of("From: Ana <ana@bank.example>, Sousa\n", &telemessage);
    assert_eq!((&from["email"], &to, notes.len()), (&json!("ana@bank.example"), &json!([{"name": "Sousa"}]), 1));
    // Names alone, and numbers alone, are people.
    let (from, to, notes) = people_of("From: Ana Sousa\nTo: +447700900123, Bo\n", &telemessage);
    assert_eq!(
        (from, to, notes.len()),
        (json!({"name": "Ana Sousa"}), json!([{"phone": "+447700900123"}, {"name": "Bo"}]), 0)
    );
}

#[test]
fn address_that_cannot_be_read_is_stated() {
    let telemessage = Profile::telemessage();
    let read = |to: &str| {
        let (_, to, notes) = people_of(&format!("From: Bo <bo@bank.example>\nTo: {to}\n"), &telemessage);
        (to[0].clone(), notes.len())
    };
    for (to, email) in [
        ("Ana <ana@bücher.example>", "ana@xn--bcher-kva.example"),
        ("Ana <ana@BÜCHER.example>", "ana@xn--bcher-kva.example"),
        ("Ana <\"ana\"@bank.example>", "ana@bank.example"),
        ("Ana <\"ana.sousa\"@bank.example>", "ana.sousa@bank.example"),
    ] {
        assert_eq!(read(to), (json!({"name": "Ana", "email": email}), 0), "{to}");
    }
    for (to, name) in [
        ("Ana <ana.sousa.@docomo.example>", "Ana <ana.sousa.@docomo.example>"),
        ("\"ana sousa\"@bank.example", "ana sousa <@bank.example>"),
        ("Ana <ána@bank.example>", "Ana <ána@bank.example>"),
        ("Ana <ana@bank_1.example>", "Ana <ana@bank_1.example>"),
        ("Ana <ana@a@bank.example>", "Ana <ana@a@bank.example>"),
        ("Ana <ana@%41é.example>", "Ana <ana@%41é.example>"),
        ("Ana <ana>", "Ana <ana>"),
    ] {
        assert_eq!(read(to), (json!({"name": name}), 1), "{to}");
    }
    // Each field is read so, and a profile that reads no numbers.
    for fields in [
        "From: Ana <ana.@x.example>\nTo: bo@bank.example\n",
        "Sender: Ana <ana.@x.example>\nTo: bo@bank.example\n",
        "From: bo@bank.example\nCc: Ana <ana.@x.example>\n",
        "From: bo@bank.example\nBcc: Team: Ana <ana.@x.example>;\n",
    ] {
        assert_eq!(people_of(fields, &telemessage).2.len(), 1, "{fields}");
    }
    let address = Profile::generic("").unwrap().with_participants(Participants::Address);
    let (_, to, notes) = people_of("From: bo@bank.example\nTo: 447700900123@no_mail\n", &address);
    assert_eq!((to, notes.len()), (json!([{"name": "447700900123@no_mail"}]), 1));
    // Two mails of one id to different people are different messages.
    let to = |to: &str| lines(&PLAIN.replace("ana.sousa@bank.example", to));
    assert!(!has_same_content(&to("ana.@x.example"), &to("anb.@x.example"), &telemessage));
}

#[test]
fn recipient_of_a_journal_report_that_cannot_be_read_is_stated() {
    let journal = lines(
        "Date: Fri, 20 Nov 2026 09:20:00 +0000\nFrom: journal@bank.example\nTo: archive@bank.example\nX-MS-Journal-Report:\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=j\n\n--j\nContent-Type: text/plain\n\n\
         Sender: bo@bank.example\nTo: eve.@x.example, Expanded: list@bank.example\nRecipient: ana@bank.example\n\
         --j\nContent-Type: message/rfc822\n\nDate: Fri, 20 Nov 2026 09:14:03 +0000\nFrom: bo@bank.example\n\
         To: ana@bank.example\nMessage-ID: <1@x>\n\nhello\n--j--\n",
    );
    let item = item_of(&journal, &Profile::generic("").unwrap()).unwrap();
    assert_eq!(item["to"], json!([{"email": "ana@bank.example"}, {"name": "eve.@x.example"}]));
    assert_eq!(item["mail"]["notes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn digits_after_a_number_do_not_belong_to_it() {
    let read = |display: &str| {
        let fields = format!("From: bo@bank.example\nTo: \"{display}\" <x@x.example>\n");
        let (_, to, notes) = people_of(&fields, &Profile::telemessage());
        (to[0]["phone"].as_str().map(str::to_owned), to[0]["name"].as_str().map(str::to_owned), notes.len())
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for (display, phone, name) in [
        ("Bo +49 30 123456 (2)", "+4930123456", "Bo (2)"),
        ("Bo +4930123456 (12)", "+4930123456", "Bo (12)"),
        ("+49 30 123456 (2) Bo", "+4930123456", "(2) Bo"),
        ("+44 (0)20 7946 0123", "+442079460123", ""),
        ("+44 (20) 7946 0123 Bo", "+442079460123", "Bo"),
        ("+1 (555) 123-4567", "+15551234567", ""),
        ("Bo (+351 210 000 001)", "+351210000001", "Bo"),
        ("+45 20 12 34 56", "+4520123456", ""),
        ("+33 6 12 34 56 78 (Bo)", "+33612345678", "(Bo)"),
        ("+49 30/1234567", "+49301234567", ""),
        ("+49 30 1234567\u{2011}0", "+493012345670", ""),
        ("+49 30 123456x2 Bo", "+4930123456", "x2 Bo"),
    ] {
        assert_eq!(read(display), (some(phone), some(name), 0), "{display}");
    }
    for display in [
        "+4477009001 2026",
        "+447700900123 2026",
        "+4930123456/7 Bo",
        "Bo +49 30 123456 2",
        "Bo +49 30 123456 - 2",
        "Bo +49 30 123456 (2026)",
        "Bo +351 210 000 001 12",
        "Bo +45 20123456 2026",
        "Bo +45 20 12 34 56 7",
        "C++ 2026 1234567",
        "+447700900123 +351210000001",
    ] {
        assert_eq!(read(display), (None, Some(display.to_owned()), 1), "{display}");
    }
}
