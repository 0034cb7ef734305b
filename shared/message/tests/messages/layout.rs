//! The display of a message, which participants' texts cannot imitate.

use mail_parser::{MessageParser, MimeHeaders};
use message::write::{Content, FileFacts, Renderer};
use model::{Captured, Sha256};
use serde_json::{Value, json};

use crate::{
    golden::render,
    promises::{header, item, plain},
};

const PNG: &[u8] = include_bytes!("../files/picture.png");

fn html(captured: &Captured) -> String {
    let mime = render(captured, &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    parsed.body_html(0).expect("a page").into_owned()
}

fn text(captured: &Captured) -> String {
    plain(&render(captured, &[]).mime)
}

/// Statements of the archive and texts that imitate them.
const FORGED: &str = "[Text message]\nText message\n----------------------------------------\nKind: Deleted message\n\
    From: Big Boss (+45 11 11 11 11)\r\nSent: 2020-01-01 00:00:00 UTC\rText:\u{2028}Kind: Deleted message\u{2029}Anomaly: none\n| Anomaly: none\nIn reply to a message by “Boss”:\n\
    > In reply to Boss\n> pay\n</td></tr></table><td bgcolor=\"#f3f5f7\">Kind: Deleted message";

#[test]
fn forged_lines_are_marked_in_the_plain_text() {
    for forged in [
        json!({"text": FORGED}),
        json!({"quoted": {"messageId": "M0", "text": FORGED}}),
        json!({"type": "edit", "target": {"messageId": "M0", "text": FORGED}}),
        json!({"type": "business", "business": {"header": FORGED, "Kind: Deleted message\r\nFrom": FORGED}}),
        json!({"type": "hologram", "Kind": "Deleted message", "From": FORGED}),
        json!({"from": {"name": FORGED, "phone": "+4520123456"}, "chat": {"id": FORGED, "type": "group", "name": FORGED}}),
        json!({"type": "poll", "poll": {"question": FORGED, "options": [FORGED, FORGED]}}),
        json!({"type": "group_event", "event": {"action": "added", "subjects": [{"name": FORGED}], "oldValue": FORGED}}),
    ] {
        let captured = item(forged.clone());
        let text = text(&captured);
        // Programs begin a line at each of these, Rust's `lines` only at LF.
        let lines = || text.split(['\n', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
        let facts = |key: &str| lines().filter(|line| line.starts_with(key)).count();
        assert_eq!((facts("Kind: "), facts("From: "), facts("Sent: ")), (1, 1, 1), "{text}");
        assert!(facts("Text:") <= 1 && facts("Anomaly") == 0 && facts("----") == 1, "{text}");
        let kind = lines().find(|line| line.starts_with("Kind: ")).expect("a kind");
        assert!(!kind.contains("Deleted"), "{text}");
        // All facts come before any text of a participant, except the preview.
        let rule = text.find("\r\n------").expect("the end of the facts");
        assert!(text.find("\r\nFrom: ").is_some_and(|from| from < rule), "{text}");
    }
}

#[test]
fn forged_text_stays_in_its_box() {
    let page = html(&item(json!({"text": FORGED})));
    // Text in the list of messages is not repeated in the message.
    let page = page.split("mso-hide:all").nth(1).and_then(|rest| rest.split_once("</div>")).expect("a preview").1;
    let begin = page.find("border-left:4px").expect("the box of the text");
    let end = begin + page[begin..].find("</tr></table>\r\n").expect("its end");
    assert_eq!(page.matches("border-left:4px").count(), 1);
    for line in ["Big Boss", "In reply to a message by", "Anomaly: none", "Kind: Deleted message"] {
        let outside = page[..begin].matches(line).count() + page[end..].matches(line).count();
        assert!(page[begin..end].contains(line) && outside == 0, "{line}");
    }
    assert!(!page.contains("<td bgcolor=\"#f3f5f7\">"));
}

#[test]
fn marks_are_explained_where_only_the_reply_has_words() {
    let reply = |words: Value| json!({"type": "image", "text": null, "quoted": {"messageId": "M0", "text": words}});
    let explained = |words| text(&item(reply(words))).contains("Lines that begin with \"|\"");
    assert_eq!([json!("Pay"), json!("\u{200b}")].map(explained), [true, false]);
}

#[test]
fn business_content_is_shown_whole_and_once() {
    let business = json!({"body": "Hello", "buttons": [{"text": "Buy", "price": 7}],
        "sections": [{"title": "Fish", "rows": [{"title": "Cod"}], "note": "sold out"}]});
    let text = text(&item(json!({"type": "business", "text": "Hello", "business": business})));
    assert_eq!(text.matches("Hello").count(), 2, "the preview and the text: {text}");
    for member in ["| Buttons 1 price: 7", "| Sections 1 note: sold out", "| Sections 1 rows 1 title: Cod"] {
        assert!(text.contains(member), "{member} in {text}");
    }
}

#[test]
fn absent_and_impossible_values_are_not_shown() {
    let location = |latitude: f64| json!({"type": "location", "location": {"latitude": latitude, "longitude": 12.5}});
    assert_eq!([90.0, 91.0].map(|latitude| text(&item(location(latitude))).contains("Map: ")), [true, false]);
    let timer = |seconds: u64| text(&item(json!({"disappearingSeconds": seconds}))).contains("Disappears");
    assert_eq!([0, 60].map(timer), [false, true]);
    let hidden = json!({"type": "reaction", "reaction": {"emoji": "👍"}, "target": {"messageId": "M0", "type": "image", "text": "\u{200b}"}});
    assert!(text(&item(hidden)).contains(": a picture"));
    let votes: Vec<String> = (0..1_001).map(|at| format!("option {at}")).collect();
    let vote = text(&item(json!({"type": "poll_vote", "poll": {"options": [], "votes": votes}})));
    assert!(vote.contains("More options are in whatsapp-item.json."));
}

#[test]
fn text_file_declares_its_character_set_only_if_it_is_utf8() {
    let attachments = json!([{"id": "1", "name": "a.txt", "contentType": "text/plain"}]);
    let declared = |bytes: &[u8]| {
        let mime = render(&item(json!({"attachments": attachments})), &[Some(bytes.to_vec())]).mime;
        String::from_utf8_lossy(&mime).contains("text/plain; charset=utf-8; name=\"a.txt\"")
    };
    assert_eq!(["é".as_bytes(), b"\xe9", b"e"].map(declared), [true, false, false]);
}

#[test]
fn name_in_a_sentence_cannot_end_its_quotation() {
    let event = json!({"type": "group_event", "event": {"action": "left", "subjects": [{"name": "Bo” left. “Ada"}]}});
    assert!(text(&item(event)).contains("“Bo\" left. \"Ada” left."));
}

#[test]
fn sentences_are_left_to_right_whatever_the_names_are() {
    let event = json!({"type": "group_event", "from": {"name": "דנה", "phone": "972501234567"},
        "event": {"action": "added", "subjects": [{"name": "فاطمة"}]}});
    let captured = item(event);
    assert!(text(&captured).contains("“\u{200e}דנה\u{200e}” added “\u{200e}فاطمة\u{200e}”."));
    let page = html(&captured);
    let isolated = |name: &str| format!("\u{200e}<span dir=\"rtl\">{name}</span><span dir=\"ltr\">&lrm;</span>");
    assert!(page.contains(&format!("“{}” added “{}”.", isolated("דנה"), isolated("فاطمة"))));
    assert!(
        page.contains("<body dir=\"ltr\"") && page.contains(&format!("{} <span dir=\"ltr\">(+972", isolated("דנה")))
    );
    for unknown_to_word in ["<bdi", "dir=\"auto\"", "<p "] {
        assert!(!page.contains(unknown_to_word), "{unknown_to_word}");
    }
}

#[test]
fn names_in_headers_have_marks_when_they_are_right_to_left() {
    let hebrew = item(
        json!({"chat": {"id": "g", "type": "group", "name": "צוות 7"}, "from": {"name": "דנה", "phone": "972501234567"}}),
    );
    let mime = render(&hebrew, &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    assert_eq!(parsed.subject(), Some("WhatsApp: \u{200e}צוות 7\u{200f}\u{200e}"));
    let from = parsed.from().and_then(|from| from.first()).and_then(|from| from.name()).expect("a name");
    assert_eq!(from, "\u{200e}דנה\u{200e} (+972 50-123-4567)\u{200e}");
    assert_eq!(header(&item(json!({})), "Subject").as_deref(), Some("WhatsApp: Ada"));
}

#[test]
fn preview_is_the_beginning_of_the_text() {
    let long = format!("  First line,\r\n*second* line {}", "and more ".repeat(50));
    let captured = item(json!({"text": long}));
    let expected = "First line, *second* line and more and more and more and more and more and more and more …";
    let page = html(&captured);
    let preview = page.split("mso-hide:all\">").nth(1).and_then(|rest| rest.split('<').next());
    assert_eq!(
        preview.map(|text| text.chars().take(80).collect::<String>()),
        Some(expected.chars().take(80).collect())
    );
    assert!(text(&captured).starts_with(&format!("| {}", expected.chars().take(80).collect::<String>())));
    let call = html(&item(json!({"type": "call", "text": null, "call": {"media": "voice", "status": "missed"}})));
    assert!(call.contains("mso-hide:all\">Missed voice call: voice call</div>"));
}

#[test]
fn target_is_shown_with_its_id_and_its_kind() {
    for (kind, words) in [
        (json!("image"), "a picture"),
        (json!("voice"), "a voice message"),
        (json!("text"), "no text was captured for it"),
        (json!(7), "no text was captured for it"),
        (Value::Null, "no text was captured for it"),
    ] {
        let target = json!({"messageId": "3EB0 x\r\n", "from": {"name": "Bo", "phone": "4520123457"}, "type": kind});
        for (acts, heading) in [
            ("reaction", "Reaction to a message"),
            ("edit", "Before the edit"),
            ("delete", "The deleted message"),
            ("poll_vote", "The poll"),
        ] {
            let text = text(&item(json!({"type": acts, "text": null, "target": target, "reaction": {"emoji": "👍"}})));
            // A vote refers to its poll only, whatever was captured as its target.
            let described = if acts == "poll_vote" { ".".to_owned() } else { format!(": {words}") };
            let expected = format!("{heading} by “Bo”, WhatsApp id 3EB0%20x%0D%0A{described}\r\n");
            assert!(text.contains(&expected), "{expected} in {text}");
        }
    }
}

#[test]
fn mention_carries_the_name() {
    let captured =
        item(json!({"text": "@4520123457 and @45201234570", "mentions": [{"name": "Bo", "phone": "4520123457"}]}));
    let page = html(&captured);
    assert!(page.contains(">@4520123457 (<span dir=\"ltr\">Bo</span>)</span> and @45201234570"), "{page}");
    let text = text(&captured);
    assert!(text.contains("| @4520123457 and @45201234570\r\n") && text.contains("Mentions: Bo (+45 20 12 34 57)\r\n"));
    let unnamed = html(&item(json!({"text": "@4520123457 and", "to": [], "mentions": [{"phone": "4520123457"}]})));
    assert_eq!(unnamed.matches(">@4520123457 and<").count(), 2, "the number is not repeated as a name: {unnamed}");
}

#[test]
fn direction_names_the_captured_user() {
    let says = |changes: Value, line: &str| {
        let text = text(&item(changes));
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
    };
    says(json!({"direction": "outgoing"}), "Outgoing from: Ada (+45 20 12 34 56)");
    says(json!({"direction": "incoming"}), "Incoming for: Bo (+45 20 12 34 57)");
    let bo = json!({"name": "Bo", "phone": "4520123457", "email": "bo@example.com"});
    let cy = json!({"name": "Cy", "phone": "4520123458"});
    says(json!({"to": [cy, bo]}), "Incoming for: Bo (+45 20 12 34 57)");
    says(json!({"to": [bo, bo]}), "Incoming for: one of the recipients; the archive does not say which");
}

#[test]
fn created_group_shows_its_name() {
    let text = text(&item(json!({"type": "group_event", "event": {"action": "created", "newValue": "Team"}})));
    assert!(text.contains("“Ada” created the group.\r\nName: Team\r\n"), "{text}");
}

#[test]
fn business_content_reads_as_a_message() {
    let text = text(&item(json!({"type": "business", "text": null, "business": {
        "header": {"type": "text", "text": "Booked"}, "body": "See you", "footer": "Bye",
        "buttons": [{"type": "reply", "reply": {"id": "1", "title": "Yes"}}, {"title": "Web", "url": "https://example.com/"}],
        "order": {"items": [{"productName": "Seat"}]}}})));
    for part in [
        "Header:\r\n| Booked\r\nBody:\r\n| See you\r\nFooter:\r\n| Bye\r\n",
        "Button: Yes\r\nButton: Web https://example.com/\r\n",
        "| Order items 1 product name: Seat\r\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("[0]") && !text.contains("buttons"), "{text}");
    // Unrecognized content is not left out.
    let odd = json!({"buttons": [{"title": "Pay", "amount": {"value": 7}}], "body": 3});
    let text = self::text(&item(json!({"type": "business", "text": null, "business": odd})));
    assert!(text.contains("| Buttons 1 amount value: 7\r\n") && text.contains("| Body: 3\r\n"), "{text}");
}

#[test]
fn local_time_is_beside_utc_when_a_zone_is_configured() {
    let captured = item(json!({}));
    let zone = jiff::tz::TimeZone::get("Europe/Copenhagen").expect("a zone");
    let renderer = Renderer::new("archive.example.com").expect("a domain").with_time_zone(Some(zone));
    let rendered = renderer.render(&captured, &[]).expect("a message");
    let text = plain(&rendered.mime(|_| &[]));
    assert!(text.contains("Sent: 2026-11-20 14:05:09 UTC (15:05:09 Europe/Copenhagen)\r\n"), "{text}");
    assert_eq!(rendered.message_id, Renderer::new("archive.example.com").expect("a domain").message_id(&captured.item));
}

fn with_file(attachment: Value, bytes: &[u8]) -> Vec<u8> {
    let captured = item(json!({"type": "image", "attachments": [attachment]}));
    render(&captured, &[Some(bytes.to_vec())]).mime.to_vec()
}

#[test]
fn picture_is_shown_in_place_and_listed_as_an_attachment() {
    let mime = with_file(json!({"id": "1", "name": "a.png", "contentType": "image/png"}), PNG);
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    let part = parsed.attachment(0).expect("the picture");
    let id = part.content_id().expect("a Content-ID");
    assert!(part.content_disposition().is_some_and(|disposition| disposition.is_attachment()));
    assert_eq!(part.attachment_name(), Some("a.png"));
    let page = parsed.body_html(0).expect("a page");
    assert!(page.contains(&format!("<img src=\"cid:{id}\" width=\"96\" alt=\"a.png\"")), "{page}");
    assert!(page.contains("<b><span dir=\"ltr\">a.png</span></b>"));
}

#[test]
fn only_a_picture_that_is_declared_as_one_is_shown() {
    let shown = |content_type: Value, bytes: &[u8]| {
        let mime = with_file(json!({"id": "1", "contentType": content_type}), bytes);
        let parsed = MessageParser::default().parse(&mime).expect("a message");
        parsed.body_html(0).expect("a page").contains("<img")
    };
    assert!(shown(json!("image/jpeg"), PNG) && shown(Value::Null, PNG));
    assert!(
        !shown(json!("application/pdf"), PNG)
            && !shown(json!("image/svg+xml"), b"<svg xmlns='x' width='1' height='1'/>")
    );
    assert!(!shown(json!("image/png"), b"not a picture"));
}

#[test]
fn pictures_of_an_item_are_shown_up_to_a_limit() {
    let attachments: Vec<Value> = (0..12).map(|id| json!({"id": id.to_string(), "contentType": "image/png"})).collect();
    let captured = item(json!({"attachments": attachments}));
    let facts = FileFacts::of(PNG, Sha256::of(PNG));
    let renderer = Renderer::new("archive.example.com").expect("a domain");
    let mime = renderer.render(&captured, &[Content::File(facts); 12]).expect("a message").mime(|_| PNG);
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    assert_eq!(parsed.body_html(0).expect("a page").matches("<img").count(), 10);
    assert_eq!(parsed.attachment_count(), 13);
}

#[test]
fn files_of_equal_names_are_made_distinct() {
    let card = json!({"name": "scan", "vcard": "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:x\r\nEND:VCARD"});
    let file = |id: &str| json!({"id": id, "name": "scan.vcf"});
    let captured = item(json!({"attachments": [file("1"), file("2")], "contacts": [card, card]}));
    let mime = render(&captured, &[Some(vec![1]), Some(vec![2])]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    let names: Vec<_> = parsed.attachments().filter_map(MimeHeaders::attachment_name).collect();
    assert_eq!(names, ["scan.vcf", "scan (2).vcf", "scan (3).vcf", "scan (4).vcf", "whatsapp-item.json"]);
}

#[test]
fn voice_message_names_a_program_that_plays_it() {
    let captured =
        item(json!({"type": "voice", "attachments": [{"id": "1", "contentType": "audio/ogg; codecs=opus"}]}));
    let text = plain(&render(&captured, &[Some(vec![1])]).mime);
    assert!(text.contains("voice-1.opus") && text.contains("VLC"), "{text}");
}

#[test]
fn contact_card_is_decoded() {
    let quoted = "BEGIN:VCARD\r\nVERSION:2.1\r\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Bj=C3=B8rn =\r\n=C3=85g\r\n\
        TEL;CELL:+45 30 12 34 56\r\nEND:VCARD\r\n";
    let number = "1".repeat(200);
    let folded = format!(
        "BEGIN:VCARD\nVERSION:3.0\nFN:Ada\\, PhD\nORG:A\\;B\\, C;D\nTEL;TYPE=CELL:{}\n {}\nEND:VCARD",
        &number[..60],
        &number[60..]
    );
    let text = text(&item(
        json!({"type": "contacts", "contacts": [{"vcard": quoted}, {"name": "\u{3164}", "vcard": folded}]}),
    ));
    for line in [
        "Contact: Bjørn Åg",
        "Phone: +45 30 12 34 56",
        "Contact: Ada, PhD",
        "Organisation: A;B, C, D",
        &format!("Phone: {number}"),
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    let large = format!("BEGIN:VCARD\nVERSION:3.0\nFN:Ada\nPHOTO:{}\nEND:VCARD", "A".repeat(250 << 10));
    let cards: Vec<_> = (0..5).map(|_| json!({"vcard": large})).collect();
    let text = self::text(&item(json!({"type": "contacts", "contacts": cards})));
    assert_eq!((text.matches("Contact: Ada").count(), text.matches("Card: is not shown here").count()), (4, 1));
    let too_long = format!("BEGIN:VCARD\nVERSION:3.0\nFN:A\nTEL:{}\nEND:VCARD", "1".repeat(300));
    let text = self::text(&item(json!({"type": "contacts", "contacts": [{"vcard": too_long}]})));
    assert!(text.contains("Phone: is too long to be shown") && !text.contains("1111"), "{text}");
}

#[test]
fn no_line_of_a_message_begins_with_from_and_a_space() {
    let captured = item(json!({"text": format!("æ{}", "From here From there ".repeat(300))}));
    let mime = render(&captured, &[]).mime;
    let lines: Vec<&str> = std::str::from_utf8(&mime).expect("ASCII").split("\r\n").collect();
    assert!(lines.iter().any(|line| line.starts_with("=46rom=")), "the text contains such a line");
    assert!(
        !lines.iter().any(|line| line.starts_with("From "))
            && lines.iter().all(|line| !line.contains("here") || line.len() <= 76)
    );
    assert!(plain(&mime).contains(&"From here From there ".repeat(300)));
}

#[test]
fn group_line_of_an_export_names_no_actor() {
    let line = |from: &str, action: Value| {
        let upload = json!({"owner": "ada@bank.example", "file": "chat.txt"});
        let event = json!({"action": action});
        let text = "Ada removed Bob";
        let more =
            json!({"type": "group_event", "from": {"name": from}, "text": text, "upload": upload, "event": event});
        text_of_notice(&item(more))
    };
    for (action, words) in [
        (json!("removed"), "removed"),
        (json!("left"), "left"),
        (json!("picture_changed"), "picture changed"),
        (json!("zork"), "“zork”"),
        (Value::Null, "not recognized"),
    ] {
        for from in ["WhatsApp", "Team"] {
            let expected = format!("A line of WhatsApp about the group: {words}. Its text names the people.");
            assert!(line(from, action.clone()).contains(&expected), "{action}");
            assert!(!line(from, action.clone()).contains("participant who was not captured"), "{action}");
        }
    }
}

fn text_of_notice(captured: &Captured) -> String {
    text(captured).replace("\r\n", " ").replace(['\u{2068}', '\u{2069}'], "")
}

#[test]
fn size_that_differs_from_the_declared_one_is_stated() {
    let files = json!([
        {"id": "a", "name": "contract.pdf", "size": 48_211}, {"id": "b", "name": "same.pdf", "size": 3},
        {"id": "c", "name": "unknown.pdf"}, {"id": "d", "name": "erased.pdf", "size": 7},
    ]);
    let captured = item(json!({"type": "document", "attachments": files}));
    let mime = render(&captured, &[Some(Vec::new()), Some(b"abc".to_vec()), Some(Vec::new()), None]).mime;
    let text = plain(&mime);
    let anomalies: Vec<_> = text.lines().filter(|line| line.starts_with("Anomaly: ")).collect();
    assert_eq!(anomalies, ["Anomaly: contract.pdf: declared 48,211 bytes, received 0"], "{text}");
}

/// The capture does not contain who acted, and the sender is the number that reports the event.
#[test]
fn event_of_a_group_in_a_webhook_has_no_actor() {
    let webhook = json!({"field": "group_lifecycle_update", "received": "2026-11-20T14:05:09Z",
                         "bodySha256": "0".repeat(64), "notes": []});
    let from = json!({"phone": "12025550143"});
    let person = json!({"phone": "447700900123"});
    for (event, expected) in [
        (json!({"action": "group_suspend"}), "The capture calls this event “group_suspend”."),
        (
            json!({"action": "group_join_request_created", "subjects": [person]}),
            "The capture calls this event “group_join_request_created”, about “+44 7700 900123”.",
        ),
        (json!({}), "Something changed in the group. The capture does not say what."),
    ] {
        let captured = item(json!({"type": "group_event", "from": from, "event": event, "webhook": webhook}));
        let text = text_of_notice(&captured);
        assert!(text.contains(expected), "{text}");
    }
    let text = text_of_notice(&item(json!({"type": "group_event", "from": from, "event": {"action": "frozen"}})));
    assert!(text.contains("“frozen”, by “"), "another source names the sender: {text}");
}

#[test]
fn button_with_two_targets_shows_both() {
    let button = json!({"text": "Contact us", "url": "https://example.com/", "phone_number": "+45 33 12 34 56"});
    let text = text(&item(json!({"type": "business", "business": {"body": "Hi", "buttons": [button]}})));
    assert!(text.contains("+45 33 12 34 56") && text.contains("https://example.com/"), "{text}");
}

#[test]
fn id_of_a_person_is_in_the_mail_with_and_without_the_number() {
    let client = |phone: Option<&str>| json!({"name": "Ada", "phone": phone, "whatsappId": "GB.1000"});
    for phone in [Some("447700900123"), None] {
        let text = text(&item(json!({"from": client(phone)})));
        assert!(text.contains("User id of the sender: GB.1000"), "{text}");
        let text = self::text(&item(json!({"to": [client(phone)]})));
        assert!(text.contains("User id of the recipient: GB.1000"), "{text}");
    }
    let text = text(&item(json!({"from": {"phone": "447700900123", "whatsappId": "447700900123@s.whatsapp.net"}})));
    assert!(!text.contains("User id"), "the id is the number: {text}");
}
