//! The system's own work, as the functions do it between two requests.

use std::hint::black_box;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::FutureExt;
use mailbox::{
    Mailbox, Message,
    graph::{MESSAGE_CLASS, PIECE, create_body},
};
use message::{
    copy::CopyAddresses,
    read::Mime,
    write::{Content, FileFacts, Renderer},
};
use model::{Captured, ConvertTask, ImportTask, MailboxAddress, MessageGroup, Sha256, TASK_VERSION, keys};

/// Result of convert's work before its request to S3.
pub struct Converted {
    /// The object's key.
    pub key: String,
    /// The object.
    pub body: bytes::Bytes,
    /// S3's checksum of it.
    pub checksum: String,
    /// The body of the message on the import queue.
    pub import_task: String,
}

/// Creates the stored message and the import task from a task, the source's response and the attachments.
///
/// # Errors
/// If the functions would dead-letter the item.
pub fn convert(task: &str, json: &[u8], files: &[Vec<u8>]) -> anyhow::Result<Converted> {
    let task = ConvertTask::parse(task)?;
    let key = keys::mime(&task.item.key());
    let captured = Captured::parse(json, &task.item)?;
    let mut contents = Vec::with_capacity(files.len());
    for (attachment, bytes) in captured.item.attachments.iter().zip(files) {
        let sha256 = Sha256::of(bytes);
        anyhow::ensure!(attachment.sha256.is_none_or(|declared| declared == sha256), "another file");
        contents.push(Content::File(FileFacts::of(bytes, sha256)));
    }
    let rendered = renderer()?.render(&captured, &contents)?;
    let body = rendered.mime(|index| files.get(index).map_or(&[], Vec::as_slice));
    let sha256 = Sha256::of(&body);
    let import = ImportTask {
        v: TASK_VERSION,
        run: task.run.clone(),
        item: task.item.clone(),
        archived_time: task.archived_time,
        key: task.item.key(),
        mime: Some(key.clone()),
        sha256,
        bytes: body.len() as u64,
        message_id: rendered.message_id,
        participants: Some(captured.item.participants().cloned().collect()),
        message_time: Some(captured.item.message_time),
        group: Some(MessageGroup::of_chat(&captured.item.chat.id)),
    };
    Ok(Converted {
        key,
        body,
        checksum: STANDARD.encode(sha256.as_bytes()),
        import_task: serde_json::to_string(&import)?,
    })
}

fn renderer() -> anyhow::Result<Renderer> {
    Ok(Renderer::new("archive.example.com")?)
}

/// Creates the body of the request that files a stored message in a mailbox. Files that are larger than a request are
/// prepared piece by piece, as they are uploaded.
///
/// # Errors
/// If the function would dead-letter the item.
pub fn import(task: &str, mime: &bytes::Bytes) -> anyhow::Result<Vec<u8>> {
    let task = ImportTask::parse(task)?;
    anyhow::ensure!(Sha256::of(mime) == task.sha256, "another message");
    let address: MailboxAddress = "mette.holm@example.com".parse().context("an address")?;
    // The function has read the message, and nothing else uses it.
    let stored = bytes::Bytes::copy_from_slice(mime);
    // As if the user map had all participants.
    let participants = task.participants.as_deref().unwrap_or_default();
    let addresses = CopyAddresses::of(participants.iter().map(|participant| (participant, Some(address.clone()))));
    let mime = addresses.copy_of(Mime::Whole(stored));
    let message = Message { item: task.item, message_id: task.message_id, mime };
    let mailbox = Mailbox { id: "1".to_owned(), address: address.clone(), primary: address };
    let (body, files) = create_body(&message, &mailbox, MESSAGE_CLASS)?;
    for file in files {
        for from in (0..file.length()).step_by(PIECE) {
            let piece = file.read(from..from + PIECE as u64).now_or_never();
            black_box(piece.context("what lies in memory had to be waited for")??);
        }
    }
    Ok(body)
}
