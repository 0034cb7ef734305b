//! The files that messages name.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Write},
};

use chat_export::Export;
use model::{AttachmentId, Item, ItemId, Kind};
use pretty_assertions::assert_eq;
use serde_json::Value;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::support::{items, kinds, read_as, senders_and_times, settings, text, zipped};

#[test]
fn file_that_a_line_names_is_attached_whatever_the_words() {
    for word in [
        "soubor byl přiložen",
        "файл добавлен",
        "dosya ekli",
        "bifogad fil",
        "załączony plik",
        "file terlampir",
        "الملف مرفق",
        "添付ファイル有り",
        "zork blip",
    ] {
        let chat = format!("23.03.24 13:32 - Bo: \u{200e}IMG-1.jpg ({word})\nnice\n23.03.24 13:33 - Ada: ok\n");
        let export = zipped(&[("WhatsApp Chat with Bo.txt", chat.as_bytes()), ("IMG-1.jpg", b"picture")]);
        let all = items(&export);
        assert_eq!((all.len(), &all[0].0.kind, all[0].0.text.as_deref()), (2, &Kind::Image, Some("nice")), "{word}");
        let id = AttachmentId::try_from("1".to_owned()).unwrap();
        assert_eq!(export.attachment(&all[0].0.id, &id, 100), Ok(b"picture".to_vec()), "{word}");
    }
    for marker in [
        "‹المُرفق: 1-PHOTO.jpg>",
        "<terlampir: 1-PHOTO.jpg>",
        "<bifogat: 1-PHOTO.jpg>",
        "<прикреплено: 1-PHOTO.jpg>",
        "<附件：1-PHOTO.jpg>",
        "＜添付ファイル：1-PHOTO.jpg＞",
        "<첨부됨: 1-PHOTO.jpg>",
        "<1-PHOTO.jpg zork>",
        "<zork : 1-PHOTO.jpg>",
        "<zork 1-PHOTO.jpg>",
        "1-PHOTO.jpg <zork>",
        "1-PHOTO.jpg （zork）",
    ] {
        let chat = format!("[27/3/2024, 21:41:55] Bo: \u{200e}{marker}\r\n");
        let export = zipped(&[("_chat.txt", chat.as_bytes()), ("1-PHOTO.jpg", b"picture")]);
        let all = items(&export);
        assert_eq!((all.len(), &all[0].0.kind, all[0].0.text.as_deref()), (1, &Kind::Image, None), "{marker}");
    }
    let arabic = "\u{200f}[\u{200f}27\u{200f}/3\u{200f}/2024، 21:41:55] Bo:  \u{200f}‹المُرفق: 00000035-PHOTO.jpg>\r\n";
    let export = zipped(&[("_chat.txt", arabic.as_bytes()), ("00000035-PHOTO.jpg", b"picture")]);
    assert_eq!(senders_and_times(&export), ["2024-03-27 21:41 Bo"]);
    assert_eq!(kinds(&export), [Kind::Image]);
}

#[test]
fn file_names_match_however_they_are_spelled() {
    for (written, packed) in [
        ("\u{dc}bersicht M\u{e4}rz.pdf", "U\u{308}bersicht Ma\u{308}rz.pdf"),
        ("U\u{308}bersicht.pdf", "\u{dc}bersicht.pdf"),
        ("Plan: A/B?.pdf", "Plan_ A_B_.pdf"),
        ("Screenshot 2.56.01\u{202f}PM.png", "Screenshot 2.56.01 PM.png"),
        ("\u{200e}a.pdf", "sub/a.pdf"),
        ("a.pdf", "./a.pdf"),
    ] {
        let chat = format!("23.03.24 13:32 - Bo: {written} (zork)\n");
        let export = zipped(&[("./WhatsApp Chat with Bo.txt", chat.as_bytes()), (packed, b"file")]);
        let all = items(&export);
        assert_eq!((all.len(), all[0].0.attachments.len()), (1, 1), "{written} {packed}");
    }
    // Two files that could be meant: neither is.
    let chat = b"23.03.24 13:32 - Bo: a?b.pdf (zork)\n";
    let export = zipped(&[("_chat.txt", chat), ("a_b.pdf", b"1"), ("a-b.pdf", b"2")]);
    assert_eq!(items(&export)[0].0.attachments.len(), 0);
    assert_eq!(export.summary().unnamed_files, ["a_b.pdf", "a-b.pdf"]);
}

/// Returns text and attachments' names of each message of a zip with these files.
fn texts_and_files(chat: &str, files: &[&str]) -> Vec<(String, Vec<String>)> {
    let entries = files.iter().map(|name| (*name, b"x".as_slice()));
    let entries: Vec<_> = std::iter::once(("_chat.txt", chat.as_bytes())).chain(entries).collect();
    let shown = |(item, _): (Item, Value)| {
        let files = item.attachments.into_iter().filter_map(|file| file.name).collect();
        (item.text.unwrap_or_default(), files)
    };
    items(&zipped(&entries)).into_iter().map(shown).collect()
}

#[test]
fn words_of_a_person_are_not_taken_for_a_file() {
    for (file, form, texts) in [
        (
            "Budget.xlsx",
            "Budget.xlsx (file attached)",
            &["Budget xlsx?", "Files:\nBudget.xlsx\nthanks", "budget.xlsx", "[budget xlsx]"][..],
        ),
        (
            "LICENSE",
            "\u{200e}LICENSE (zork)",
            &["license", "LICENSE", "License!", "[license] (LICENSE)", "LICENSE (see below)"],
        ),
        ("Отчёт.pdf", "\u{200e}<zork: Отчёт.pdf>", &["посмотри «Отчёт.pdf»", "«отчёт pdf»", "Отчёт.pdf [старый]"]),
        ("план.pdf", "<прикреплено: план.pdf>", &["план, pdf", "план.pdf", "<план.pdf zork>"]),
    ] {
        let mut chat = String::new();
        for body in std::iter::once(form).chain(texts.iter().copied()) {
            chat.push_str(&format!("23.03.24 13:32 - Bo: {body}\n"));
        }
        let found = texts_and_files(&chat, &[file]);
        assert_eq!(found[0], (String::new(), vec![file.to_owned()]), "{file}");
        for ((text, files), expected) in found[1..].iter().zip(texts) {
            assert_eq!((text.as_str(), files.len()), (*expected, 0), "{file}");
        }
        assert_eq!(found.len(), 1 + texts.len());
    }
    // Nothing but the exact name is a file that no message names in a phone's form.
    for (body, found) in
        [("Budget.xlsx", true), ("Budget.xlsx (zork)", true), ("budget.xlsx", false), ("Budget xlsx", false)]
    {
        let all = texts_and_files(&format!("23.03.24 13:32 - Bo: {body}\n"), &["Budget.xlsx"]);
        assert_eq!((all[0].1.len(), all.len()), (usize::from(found), 2 - usize::from(found)), "{body}");
        assert_eq!(all[0].0, if found { "" } else { body });
    }
}

#[test]
fn names_that_contain_each_other_are_found_in_linear_time() {
    let files: Vec<String> = (5..3_000).map(|length| "a".repeat(length)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    // Each place of the text is the end of thousands of names.
    let chat = format!("23.03.24 13:32 - Bo: {}\n", "a".repeat(8 << 20));
    assert_eq!(texts_and_files(&chat, &files).len(), 1 + files.len());
}

#[test]
fn names_in_an_old_code_page_are_found_by_the_chat() {
    // "план.pdf" in cp866, and "Zoë.pdf" in cp437.
    for (written, raw) in [("план.pdf", &b"\xaf\xab\xa0\xad.pdf"[..]), ("Zoë.pdf", b"Zo\x89.pdf")] {
        let plain = "n".repeat(raw.len());
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in
            [("_chat.txt", format!("23.03.24 13:32 - Bo: {written} (zork)\n")), (&plain, "file".to_owned())]
        {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes.as_bytes()).unwrap();
        }
        let mut zip = zip.finish().unwrap().into_inner();
        let places: Vec<usize> =
            (0..zip.len() - raw.len()).filter(|at| zip[*at..].starts_with(plain.as_bytes())).collect();
        for at in places {
            zip[at..at + raw.len()].copy_from_slice(raw);
        }
        let export = read_as("a.zip", zip, None, &settings()).unwrap();
        assert_eq!((export.ids().count(), items(&export)[0].0.attachments.len()), (1, 1), "{written}");
    }
}

#[test]
fn text_that_only_resembles_a_marker_is_filed() {
    for body in ["wire it tonight <attached: x>", "plan v1.2 (file attached)", "see <b: c.d>", "(file attached)"] {
        let export = text(&format!("13/07/2024, 10:00 - Bo: {body}\n")).unwrap();
        let (item, _) = &items(&export)[0];
        assert_eq!((&item.kind, item.text.as_deref(), item.attachments.len()), (&Kind::Text, Some(body), 0), "{body}");
    }
}

#[test]
fn missing_file_keeps_the_text() {
    for (style, body) in [
        ("13/07/2024, 10:00 - ", "IMG-1.jpg (file attached)\nI agree to the price of 5"),
        ("13/07/2024, 10:00 - ", "\u{200e}IMG-1.jpg (zork)\nI agree to the price of 5"),
        ("[13/07/2024, 10:00:00] ", "I agree to the price of 5 \u{200e}<zork: IMG-1.jpg>"),
    ] {
        let export = text(&format!("{style}Bo: {body}\n")).unwrap();
        let (item, evidence) = &items(&export)[0];
        assert_eq!((&item.kind, item.text.as_deref(), item.attachments.len()), (&Kind::Image, Some(body), 0));
        assert_eq!(evidence["upload"]["notes"], serde_json::json!(["the file was not in the export"]));
    }
}

#[test]
fn file_that_no_line_names_is_an_item_of_its_own() {
    let chat = b"23.03.24 13:32 - Bo: look at photo-77.jpg please\n23.03.24 13:33 - Ada: ok\n";
    let entries: [(&str, &[u8]); 5] = [
        ("_chat.txt", chat),
        ("photo-77.jpg", b"1"),
        ("stray.pdf", b"2"),
        ("__MACOSX/._stray.pdf", b"3"),
        (".DS_Store", b"4"),
    ];
    let export = zipped(&entries);
    let all = items(&export);
    assert_eq!(all.len(), 3);
    assert_eq!((&all[0].0.kind, all[0].0.text.as_deref()), (&Kind::Image, Some("look at photo-77.jpg please")));
    let (stray, evidence) = &all[2];
    assert_eq!((&stray.kind, stray.attachments[0].name.as_deref()), (&Kind::Document, Some("stray.pdf")));
    assert_eq!(stray.message_time, all[1].0.message_time);
    assert!(evidence["reason"].as_str().unwrap().contains("none of its messages names it"));
    let id = AttachmentId::try_from("1".to_owned()).unwrap();
    assert_eq!(export.attachment(&stray.id, &id, 10), Ok(b"2".to_vec()));
    assert_eq!(export.summary().unnamed_files, ["stray.pdf"]);
}

#[test]
fn named_file_with_a_systems_name_is_attached() {
    let sent = ["._offer.pdf", "desktop.ini", "Thumbs.db", ".DS_Store"];
    for name in sent {
        let chat = format!("13/07/24, 10:00 - Bo: {name} (file attached)\n");
        let export = zipped(&[("_chat.txt", chat.as_bytes()), (name, b"bytes"), ("offer.pdf", b"other")]);
        let files: Vec<_> = bytes_by_id(&export).into_values().flatten().collect();
        assert_eq!(files.len(), 2, "{name}");
        let all = items(&export);
        assert_eq!(all[0].0.attachments[0].name.as_deref(), Some(name));
    }
    // What a computer added is no item, and hides no file.
    let attributes: &[u8] = b"\x00\x05\x16\x07\x00\x02\x00\x00";
    let chat = "13/07/24, 10:00 - Bo: \u{200e}offer:1.pdf (file attached)\n";
    let added =
        [("._offer_1.pdf", attributes), ("__MACOSX/._x.pdf", attributes), (".DS_Store", b"1"), ("a/desktop.ini", b"1")];
    let entries = [&[("_chat.txt", chat.as_bytes()), ("offer_1.pdf", b"offer")][..], &added].concat();
    let export = zipped(&entries);
    assert_eq!(bytes_by_id(&export).into_values().collect::<Vec<_>>(), [Some(b"offer".to_vec())]);
    // A file of such a name that macOS did not write is an item.
    let export = zipped(&[("_chat.txt", b"13/07/24, 10:00 - Bo: hi\n"), ("._offer.pdf", b"offer")]);
    assert_eq!(export.summary().unnamed_files, ["._offer.pdf"]);
}

/// Returns an export of an iPhone's chat in which this number of older messages is gone: two pictures of one second, a
/// document with a caption, and a file that no message names.
fn without_older(gone: u32) -> Export {
    let name = |number: u32, name: &str| format!("{:08}-{name}", number - gone);
    let older = (gone..2).map(|minute| format!("[13/07/24, 08:{minute:02}:00] Bo: old\r\n")).collect::<String>();
    let pictures = [2, 3].map(|number| name(number, "PHOTO-2024-07-13-09-12-00.jpg"));
    let (plan, stray) = (name(4, "Plan 1.pdf"), name(5, "AUDIO-2024-07-13-09-13-00.opus"));
    let [one, other] = &pictures;
    let chat = format!(
        "{older}[13/07/24, 09:12:00] Ada: \u{200e}<attached: {one}>\r\n\
         [13/07/24, 09:12:00] Ada: \u{200e}<attached: {other}>\r\n\
         [13/07/24, 09:12:30] Ada: see this \u{200e}<attached: {plan}>\r\n"
    );
    let files: [(&str, &[u8]); 5] =
        [("_chat.txt", chat.as_bytes()), (one, b"one"), (other, b"other"), (&plan, b"plan"), (&stray, b"stray")];
    zipped(&files)
}

#[test]
fn media_keep_their_ids_when_older_messages_are_gone() {
    let ids = |export: &Export| -> Vec<_> { export.ids().cloned().collect() };
    let before = without_older(0);
    let old = ids(&before);
    assert_eq!(old.iter().collect::<BTreeSet<_>>().len(), 6, "messages of one second are different items");
    for gone in [1, 2] {
        let after = without_older(gone);
        let new = ids(&after);
        assert_eq!(new[..], old[gone as usize..]);
        for (id, bytes) in new[new.len() - 4..].iter().zip([&b"one"[..], b"other", b"plan", b"stray"]) {
            let attachment = AttachmentId::try_from("1".to_owned()).unwrap();
            assert_eq!(after.attachment(id, &attachment, 100).as_deref(), Ok(bytes));
        }
    }
}

#[test]
fn item_is_found_by_its_id_of_an_earlier_release() {
    let export = without_older(0);
    let ids: Vec<_> = export.ids().collect();
    let earlier: Vec<_> = ids.iter().map(|id| export.earlier_id(id)).collect();
    assert_eq!(earlier.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, true, true, true]);
    // The ids that release 0.1 gave these messages.
    let hashes: Vec<_> = earlier.iter().flatten().map(|id| id.as_str().rsplit_once('#').unwrap().1).collect();
    assert_eq!(
        hashes,
        ["e0882a21016f8730627e", "ce94a119f8ce2ea6289b", "bdd95838476ad4fb298d", "3eae2cbabd25debdac59"]
    );
    for (id, earlier) in ids.iter().zip(&earlier) {
        let Some(earlier) = earlier else { continue };
        let (item, found) = (export.item(id).unwrap().unwrap().item, export.item(earlier).unwrap().unwrap().item);
        assert!(&found.id == earlier && found.attachments == item.attachments);
    }
    // Release 0.1 did not compare files on any phone.
    let chat = "23.03.24 13:32 - Bo: \u{200e}20240323-a.pdf (file attached)\n23.03.24 13:33 - Bo: ok\n";
    let export = zipped(&[("_chat.txt", chat.as_bytes()), ("20240323-a.pdf", b"a"), ("20240323-b.pdf", b"b")]);
    let earlier: Vec<_> =
        export.ids().map(|id| Some(export.earlier_id(id)?.as_str().rsplit_once('#')?.1.to_owned())).collect();
    assert_eq!(
        earlier,
        ["fb60103c19a5c132bffd", "", "44f707aaafcdeb8da67b"].map(|hash| (!hash.is_empty()).then(|| hash.to_owned()))
    );
}

/// Returns the ids of all items, and the bytes of the files that they have.
fn bytes_by_id(export: &Export) -> BTreeMap<ItemId, Option<Vec<u8>>> {
    let attachment = AttachmentId::try_from("1".to_owned()).unwrap();
    export.ids().map(|id| (id.clone(), export.attachment(id, &attachment, 100).ok())).collect()
}

#[test]
fn file_of_one_second_that_appears_later_changes_no_other_id() {
    let picture = |number: u32| format!("{number:08}-PHOTO-2024-07-13-10-00-00.jpg");
    let stray = |number: u32| format!("{number:08}-AUDIO-2024-07-13-11-00-00.opus");
    // A picture and a stray file that were not on the phone are between others, and are there later.
    let export = |all: bool| {
        let lines = (41..44).map(|number| {
            let words = if number == 42 && !all {
                "image omitted".to_owned()
            } else {
                format!("<attached: {}>", picture(number))
            };
            format!("[13/07/24, 10:00:00] Ada: \u{200e}{words}\r\n")
        });
        let chat: String = lines.collect();
        let present = (0..3).filter(|place| all || *place != 1);
        let files: Vec<_> = present
            .flat_map(|place| {
                [(picture(41 + place), vec![b'p', place as u8]), (stray(51 + place), vec![b's', place as u8])]
            })
            .collect();
        let mut entries: Vec<(&str, &[u8])> = vec![("_chat.txt", chat.as_bytes())];
        entries.extend(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        bytes_by_id(&zipped(&entries))
    };
    let (before, after) = (export(false), export(true));
    assert_eq!((before.len(), after.len()), (5, 6));
    let known: Vec<_> = after.iter().filter(|(id, _)| before.contains_key(*id)).collect();
    assert_eq!(known.len(), 4);
    for (id, bytes) in known {
        assert_eq!(before[id], *bytes, "an id means the same bytes in both exports");
    }
    let new: BTreeSet<_> =
        after.iter().filter(|(id, _)| !before.contains_key(*id)).map(|(_, bytes)| bytes.clone()).collect();
    assert_eq!(new, BTreeSet::from([Some(vec![b'p', 1]), Some(vec![b's', 1])]));
}

#[test]
fn file_that_was_missing_has_another_id_when_it_is_there() {
    for (words, file) in [
        ("IMG-1.jpg (file attached)", "IMG-1.jpg"),
        ("\u{200e}plan 1.pdf (zork blip)\nsee page 2", "plan 1.pdf"),
        // Words of a language that is not known, without a mark.
        ("plan 1.pdf (zork blip)", "plan 1.pdf"),
        ("zork \u{200e}<blip: 00000042-a.jpg>", "00000042-a.jpg"),
        // The words before the colon are of a person.
        ("as agreed in scan.tiff, is it?", "scan.tiff"),
        ("archive.7z", "archive.7z"),
        ("\u{200e}<attached: 00000042-Makefile>", "00000042-Makefile"),
    ] {
        let chat = format!("23.03.24 13:32 - Bo: {words}\n23.03.24 13:33 - Ada: ok\n");
        let incomplete = zipped(&[("_chat.txt", chat.as_bytes())]);
        let complete = zipped(&[("_chat.txt", chat.as_bytes()), (file, b"bytes")]);
        let (before, after) = (bytes_by_id(&incomplete), bytes_by_id(&complete));
        let new: Vec<_> = after.iter().filter(|(id, _)| !before.contains_key(*id)).collect();
        assert_eq!(
            new.iter().map(|(_, bytes)| (*bytes).clone()).collect::<Vec<_>>(),
            [Some(b"bytes".to_vec())],
            "{words}"
        );
        // fetch lists an item under its earlier id if that has an outcome: the outcome must not be that of the item without the
        // file.
        let earlier = complete.earlier_id(new[0].0);
        assert!(earlier.is_none_or(|earlier| !before.contains_key(&earlier)), "{words}");
    }
}
