//! The deliveries of a capture vendor for a one-machine run: a directory of its files, or a generated sample.

use std::{
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws::s3::{Condition, Put, Store};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use model::keys;
use zip::{ZipWriter, write::SimpleFileOptions};

const TERM_SHEET: &[u8] = include_bytes!("../sample/media/term-sheet.pdf");

/// A mail of the sample.
struct Mail {
    name: &'static str,
    id: u32,
    /// Minutes before the end of the sample's day.
    minutes: i64,
    from: &'static str,
    to: &'static str,
    fields: &'static [(&'static str, &'static str)],
    text: &'static str,
    attachment: Option<(&'static str, &'static str, &'static [u8])>,
}

const ADA: &str = "\"Ada Lindqvist +46701740605\" <ada.lindqvist@example.com>";
const KARIM: &str = "\"Karim Haddad +447700900104\" <karim.haddad@example.com>";
const CLIENT: &str = "\"+447700900123 Client\" <447700900123@nomail.example>";

const MAILS: [Mail; 6] = [
    Mail {
        name: "5550001.eml",
        id: 5_550_001,
        minutes: 90,
        from: CLIENT,
        to: ADA,
        fields: &[("THREAD_ID", "777"), ("MessageType", "Text")],
        text: "Good morning, could you send me the term sheet?",
        attachment: None,
    },
    Mail {
        name: "5550002.eml",
        id: 5_550_002,
        minutes: 85,
        from: ADA,
        to: CLIENT,
        fields: &[("THREAD_ID", "777"), ("MessageType", "Document")],
        text: "Here it is",
        attachment: Some(("term sheet.pdf", "application/pdf", TERM_SHEET)),
    },
    Mail {
        name: "5550003.eml",
        id: 5_550_003,
        minutes: 60,
        from: "\"+351912345678 Inês Carvalho\" <351912345678@nomail.example>",
        to: concat!(
            "\"Ada Lindqvist +46701740605\" <ada.lindqvist@example.com>, ",
            "\"Karim Haddad +447700900104\" <karim.haddad@example.com>"
        ),
        fields: &[("GroupID", "grp-42"), ("GROUP_NAME", "Equipa Câmbio"), ("MessageType", "Text")],
        text: "Bom dia a todos. A reunião começa às 10h – até já!",
        attachment: None,
    },
    Mail {
        name: "5550004.eml",
        id: 5_550_004,
        minutes: 45,
        from: CLIENT,
        to: KARIM,
        fields: &[("THREAD_ID", "778"), ("MessageType", "Missed Voice Call")],
        text: "Missed voice call",
        attachment: None,
    },
    Mail {
        name: "5550005.eml",
        id: 5_550_005,
        minutes: 30,
        from: CLIENT,
        to: ADA,
        fields: &[("THREAD_ID", "777"), ("MessageType", "Deleted"), ("Status", "Revoked by sender")],
        text: "This message was deleted",
        attachment: None,
    },
    Mail {
        name: "5550006.eml",
        id: 5_550_006,
        minutes: 10,
        from: KARIM,
        to: CLIENT,
        fields: &[("THREAD_ID", "778"), ("MessageType", "Text")],
        text: "شكرا، سأتصل بك غدا",
        attachment: None,
    },
];

/// Returns the name of the sample's zip, as the vendor names its own.
pub fn sample_name(now: Timestamp) -> String {
    format!("{}0000-TeleMessage_1_{}.zip", now.strftime("%Y%m%d"), now.strftime("%H%M%S"))
}

/// Creates a zip in the vendor's format: a group, a call, a deletion, three languages, an attachment and the manifest.
///
/// # Errors
/// The zip cannot be written.
pub fn sample_zip(now: Timestamp) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut manifest = format!("Date: {}\r\n", now.strftime("%Y-%m-%d"));
    for mail in &MAILS {
        zip.start_file(mail.name, SimpleFileOptions::default())?;
        zip.write_all(written(mail, now).as_bytes())?;
        manifest += &format!("{}\r\n", mail.name);
    }
    manifest += &format!("Count: {}\r\n", MAILS.len());
    zip.start_file("manifest.mf", SimpleFileOptions::default())?;
    zip.write_all(manifest.as_bytes())?;
    Ok(zip.finish()?.into_inner())
}

fn written(mail: &Mail, now: Timestamp) -> String {
    let Mail { id, minutes, from, to, text, .. } = mail;
    let encoded = |value: &str| match value.is_ascii() {
        true => value.to_owned(),
        false => format!("=?UTF-8?B?{}?=", STANDARD.encode(value)),
    };
    // A display name with non-ASCII characters is written as an encoded word before its address.
    let address = |addresses: &str| match addresses.is_ascii() {
        true => addresses.to_owned(),
        false => {
            let (display, address) = addresses.rsplit_once(' ').unwrap_or(("", addresses));
            format!("{} {address}", encoded(display.trim_matches('"')))
        }
    };
    let date = (now - SignedDuration::from_mins(*minutes)).strftime("%a, %d %b %Y %H:%M:%S +0000");
    let mut written = format!(
        "Date: {date}\r\nFrom: {}\r\nTo: {}\r\nSubject: WhatsApp message\r\nMIME-Version: 1.0\r\n\
         X-TELEMESSAGE-ArchiveMessageID: {id}\r\nX-TELEMESSAGE-ArchiveSource: WhatsApp Archiver\r\n\
         X-TELEMESSAGE-Network: WhatsApp\r\n",
        address(from),
        address(to)
    );
    for (name, value) in mail.fields {
        written += &format!("X-TELEMESSAGE-{name}: {}\r\n", encoded(value));
    }
    let lines = |bytes: &[u8]| {
        let base64 = STANDARD.encode(bytes);
        let lines = base64.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\r\n");
        lines.collect::<String>()
    };
    let body = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        lines(text.as_bytes())
    );
    match mail.attachment {
        None => written + &body,
        Some((name, media_type, bytes)) => {
            written
                + &format!(
                    "Content-Type: multipart/mixed; boundary=\"part\"\r\n\r\n--part\r\n{body}--part\r\n\
                     Content-Type: {media_type}; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
                     Content-Transfer-Encoding: base64\r\n\r\n{}--part--\r\n",
                    lines(bytes)
                )
        }
    }
}

/// Writes the sample's zip into a directory unless it exists.
pub fn write_sample(directory: &Path, now: Timestamp) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let file = directory.join(sample_name(now));
    if !file.exists() {
        std::fs::write(&file, sample_zip(now)?).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Uploads the files of a directory and its subdirectories to the inbox.
pub async fn put(store: &Store, directory: &Path) -> anyhow::Result<()> {
    for file in files(directory)? {
        let name = file.strip_prefix(directory)?.to_str().context("the name of a file is not UTF-8")?;
        let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let key = format!("{}drop/{name}", keys::INBOX);
        let put = Put { key: &key, bytes: bytes.into(), content_type: "application/octet-stream", sha256: None };
        store.put(put, Condition::Always).await?;
    }
    Ok(())
}

/// Returns all files in a directory and its subdirectories.
///
/// # Errors
/// The directory cannot be read.
pub fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => files.extend(self::files(&entry.path())?),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    Ok(files)
}
