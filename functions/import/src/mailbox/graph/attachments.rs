//! The files of a message that is being put together.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Graph,
    body::{attachment_json, longest_json},
    client::Request,
    error::Failure,
    filing::{REQUEST_LIMIT, Work},
    message::{AtHand, Attachment},
    odata::with_options,
};
use crate::mailbox::patience::Patience;

/// How many bytes of a file go up at once. 3.75 MiB: below the 4 MB of every document, and a multiple of 320 KiB, which
/// some upload sessions insist on.
pub const PIECE: usize = 12 * 320 * 1024;

/// Graph counts the name and other properties of an attachment into its size: a few hundred bytes.
const LARGEST_SURPLUS: u64 = 16 * 1024;

/// An attachment that is there.
#[derive(Deserialize)]
pub(super) struct Present {
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: u64,
}

/// What a staged message still lacks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// These, by their place among the wanted.
    These(Vec<usize>),
    /// It has something that it should not have.
    Spoilt,
}

#[derive(Serialize)]
struct NewSession<'a> {
    #[serde(rename = "AttachmentItem")]
    item: SessionItem<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionItem<'a> {
    attachment_type: &'a str,
    name: &'a str,
    size: usize,
    content_type: &'a str,
}

/// Members' names come in either case.
#[derive(Deserialize)]
struct Session {
    #[serde(rename = "uploadUrl", alias = "UploadUrl")]
    upload_url: String,
}

#[derive(Deserialize, Default)]
struct Progress {
    #[serde(rename = "nextExpectedRanges", alias = "NextExpectedRanges", default)]
    next: Vec<String>,
}

/// Compares what is there with what is wanted, whose names are all different. The size shows whether a file is whole;
/// it cannot tell two apart, since nobody knows what Graph adds to it.
pub(super) fn lack(wanted: &[Attachment<'_>], present: &[Present]) -> Lack {
    let mut missing: HashMap<&str, usize> =
        (0..).zip(wanted).map(|(index, file)| (file.name.as_str(), index)).collect();
    for file in present {
        let Some(index) = missing.remove(file.name.as_str()) else { return Lack::Spoilt };
        let size = wanted[index].data.len() as u64;
        if !(size..=size + LARGEST_SURPLUS).contains(&file.size) {
            return Lack::Spoilt;
        }
    }
    let mut missing: Vec<_> = missing.into_values().collect();
    missing.sort_unstable();
    Lack::These(missing)
}

impl Graph {
    pub(super) async fn attachments(
        &self,
        work: &Work<'_>,
        message: &str,
        patience: &mut Patience,
    ) -> Result<Vec<Present>, Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", message, "attachments"]);
        let url = with_options(url, &[("$select", "id,name,size")]);
        self.client.list(Some(&work.lane.permits), url, patience).await
    }

    /// Adds one file. After an unclear failure it may be there all the same.
    pub(super) async fn attach(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        if longest_json(file) <= REQUEST_LIMIT {
            return self.attach_at_once(work, message, file, patience).await;
        }
        match self.attach_in_pieces(work, message, file, patience).await {
            // Documents differ on where exactly "3 MB" is.
            Err(Failure::Refused(refusal)) if refusal.has_code("ErrorAttachmentSizeShouldNotBeLessThanMinimumSize") => {
                self.attach_at_once(work, message, file, patience).await
            }
            result => result,
        }
    }

    async fn attach_at_once(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", message, "attachments"]);
        let read;
        let content = match file.data.at_hand() {
            Some(content) => content,
            None => {
                read = file.data.read(0..file.data.len()).await?;
                AtHand::Bytes(&read)
            }
        };
        // The answer shows the file again.
        let request = Request::post(url, attachment_json(file, &content)).answered_with_message();
        self.client.ask_once(Some(&work.lane.permits), &request, patience).await.map(drop)
    }

    async fn attach_in_pieces(
        &self,
        work: &Work<'_>,
        message: &str,
        file: &Attachment<'_>,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let permits = &work.lane.permits;
        let segments = ["users", work.mailbox, "messages", message, "attachments", "createUploadSession"];
        let size = file.data.len();
        let item = SessionItem { attachment_type: "file", name: &file.name, size, content_type: &file.content_type };
        let json = serde_json::to_vec(&NewSession { item })
            .map_err(|_| Failure::Lost { what: "the file's name has no JSON form" })?;
        // A second session does no harm: only the last piece of one makes an attachment.
        let request = Request::post(self.client.hosts.graph(&segments), json);
        let session = self.client.ask(Some(permits), &request, patience).await;
        let session: Session = session.and_then(|answer| Ok(answer.json::<Session>()?)).map_err(Failure::of_a_step)?;
        let url = Url::parse(&session.upload_url)
            .map_err(|_| Failure::Undone { what: "the address for the upload is none" })?;

        let mut start = 0;
        while start < size {
            let end = size.min(start + PIECE);
            let piece = file.data.read(start..end).await?;
            let answer = match self.client.upload(permits, &url, (start, size), piece).await {
                Ok(answer) => answer,
                Err(failure) if failure.is_throttled() && patience.pause(failure.retry_after()).await => continue,
                // The address is good for a while, whatever it says then.
                Err(Failure::Refused(refusal)) if refusal.ends_an_upload() => {
                    return Err(Failure::Undone { what: "the upload was refused in the middle and begins anew" });
                }
                Err(failure) if end < size => return Err(failure.of_a_step()),
                Err(failure) => return Err(failure),
            };
            let next = next_start(&answer.body);
            start = match next {
                // It took less than we sent, which it may.
                Some(next) if next > start && next <= end => next,
                None => end,
                Some(_) => return Err(Failure::Undone { what: "the upload does not get on" }),
            };
        }
        Ok(())
    }
}

/// Where the upload goes on, as the answer to a piece says; the answer to the last says nothing.
fn next_start(answer: &[u8]) -> Option<usize> {
    let progress: Progress = serde_json::from_slice(answer).unwrap_or_default();
    let range = progress.next.first()?;
    range.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::graph::message::Data;

    fn wanted(files: &[(&str, usize)]) -> Vec<Attachment<'static>> {
        let file = |&(name, size): &(&str, usize)| Attachment {
            name: name.to_owned(),
            content_type: "application/octet-stream".into(),
            data: Data::Here(vec![0; size].into()),
        };
        files.iter().map(file).collect()
    }

    fn present(files: &[(&str, u64)]) -> Vec<Present> {
        files.iter().map(|&(name, size)| Present { name: name.into(), size }).collect()
    }

    #[test]
    fn a_staged_message_is_compared_by_name_and_size() {
        let files = wanted(&[("a", 100_000), ("b", 10), ("a (2)", 99_900)]);
        assert_eq!(lack(&files, &[]), Lack::These(vec![0, 1, 2]));
        assert_eq!(lack(&files, &present(&[("a (2)", 100_137)])), Lack::These(vec![0, 1]));
        assert_eq!(lack(&files, &present(&[("a", 100_237), ("b", 10), ("a (2)", 100_137)])), Lack::These(vec![]));
        assert_eq!(lack(&files, &present(&[("a", 99_999)])), Lack::Spoilt);
        assert_eq!(lack(&files, &present(&[("c", 10)])), Lack::Spoilt);
        assert_eq!(lack(&files, &present(&[("b", 9)])), Lack::Spoilt);
        assert_eq!(lack(&files, &present(&[("b", 10), ("b", 10)])), Lack::Spoilt);
        assert_eq!(lack(&files, &present(&[("b", 99_999)])), Lack::Spoilt);
    }

    #[test]
    fn the_next_piece_is_read_in_every_form() {
        for (answer, expected) in [
            (r#"{"nextExpectedRanges":["3932160-"]}"#, Some(3_932_160)),
            (r#"{"NextExpectedRanges":["3932160"]}"#, Some(3_932_160)),
            (r#"{"nextExpectedRanges":["5-9","20-"]}"#, Some(5)),
            (r#"{"nextExpectedRanges":[]}"#, None),
            (r#"{"nextExpectedRanges":["x"]}"#, None),
            ("", None),
        ] {
            assert_eq!(next_start(answer.as_bytes()), expected, "{answer}");
        }
    }
}
