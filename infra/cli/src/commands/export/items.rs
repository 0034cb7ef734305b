//! The survey's items on disk. They are distributed to 64 files by the first bits of the conversation's hash, and one file is
//! in memory at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rsmf::Record;
use serde::{Deserialize, Serialize};

use super::stored::StoredMessage;

/// All of them are open during the survey; macOS admits 256 open files.
const PARTS: u8 = 64;

/// An item of the window.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SurveyedItem {
    pub(super) record: Record,
    pub(super) message: StoredMessage,
}

/// Writes the items of a survey.
pub(super) struct ItemWriter {
    parts: Vec<BufWriter<File>>,
}

impl ItemWriter {
    /// Creates empty files in a directory. Removes the items of an interrupted survey.
    ///
    /// # Errors
    /// A file cannot be created.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let create = |part| File::create(path(directory, part)).map(BufWriter::new);
        Ok(Self { parts: (0..PARTS).map(create).collect::<Result<_, _>>()? })
    }

    /// Writes an item into the part of its conversation.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, item: &SurveyedItem) -> anyhow::Result<()> {
        let first = item.record.conversation.as_bytes()[0];
        let part = &mut self.parts[usize::from(first) * usize::from(PARTS) / 256];
        serde_json::to_writer(&mut *part, item)?;
        Ok(part.write_all(b"\n")?)
    }

    /// Writes what is buffered, to the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn finish(self) -> io::Result<()> {
        for part in self.parts {
            part.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(())
    }
}

/// Reads the items part by part. A conversation is in one part. Parts are sorted by conversation; the items of a part are not.
pub(super) fn parts(directory: &Path) -> impl Iterator<Item = anyhow::Result<Vec<SurveyedItem>>> {
    (0..PARTS).map(|part| {
        let path = path(directory, part);
        let invalid = || format!("{} has no items: export into another directory", path.display());
        let lines = BufReader::new(File::open(&path).with_context(invalid)?).lines();
        lines.map(|line| serde_json::from_str(&line?).with_context(invalid)).collect()
    })
}

fn path(directory: &Path, part: u8) -> PathBuf {
    directory.join(format!("items-{part:02}.ndjson"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::Sha256;

    use super::*;

    #[test]
    fn items_of_a_conversation_are_in_one_part() {
        let root = tempfile::tempdir().unwrap();
        let item = |conversation: Sha256, number: u32| SurveyedItem {
            record: Record {
                key: Sha256::of(&number.to_le_bytes()),
                conversation,
                time: Timestamp::UNIX_EPOCH,
                archived: Timestamp::UNIX_EPOCH,
                line: None,
                identity: conversation,
                refers_to: None,
                is_action: false,
                events: 1,
                bytes: 1,
            },
            message: StoredMessage { key: String::new(), sha256: conversation, bytes: 1 },
        };
        // An interrupted survey.
        ItemWriter::create(root.path()).unwrap().write(&item(Sha256::of(b""), 0)).unwrap();

        let mut conversations: Vec<_> = (0..500_u32).map(|number| Sha256::of(&number.to_le_bytes())).collect();
        let mut writer = ItemWriter::create(root.path()).unwrap();
        for number in 0..3 {
            for conversation in &conversations {
                writer.write(&item(*conversation, number)).unwrap();
            }
        }
        writer.finish().unwrap();
        conversations.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        let mut found = Vec::new();
        for part in parts(root.path()) {
            let mut part: Vec<_> = part.unwrap().into_iter().map(|item| item.record.conversation).collect();
            assert!((3..150).contains(&part.len()), "{}", part.len());
            part.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
            found.extend(part);
        }
        assert_eq!(found, conversations.iter().flat_map(|one| [*one; 3]).collect::<Vec<_>>());
    }
}
