//! A file in the bucket's inbox, and a place in the list of all that the files hold.

use jiff::{SignedDuration, Timestamp};
use model::ItemId;

use crate::SourceError;

/// S3 dates an object that is uploaded in parts, as `aws s3 cp` does above 8 MB, by when its upload began. It is seen
/// when the upload ends, and the bucket's lifecycle ends one that is a day old at the second midnight.
pub(crate) const LONGEST_UPLOAD: SignedDuration = SignedDuration::from_hours(48);

/// The entries of a page.
pub(crate) const PAGE_ITEMS: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    pub(crate) written: Timestamp,
    pub(crate) key: String,
}

impl File {
    /// What stands for the file where it has no name that fits in an id. No such item will be found, and the dead letter
    /// says which file it was.
    pub(crate) fn key_as_id(&self) -> String {
        self.key.chars().take(ItemId::MAX_CHARS).collect()
    }
}

/// Where a page ended.
pub(crate) struct Place {
    pub(crate) file: File,
    /// How many of the file's messages were listed.
    pub(crate) done: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { file: File { written: Timestamp::MIN, key: String::new() }, done: 0 }
    }
}

impl Place {
    pub(crate) fn write(&self) -> String {
        format!("{} {} {}", self.file.written.as_second(), self.done, self.file.key)
    }

    pub(crate) fn read(cursor: &str) -> Result<Self, SourceError> {
        let foreign = || SourceError::MalformedPage("the cursor is not ours".to_owned());
        let mut parts = cursor.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(foreign);
        let written = part()?.parse().map_err(|_| foreign())?;
        let done = part()?.parse().map_err(|_| foreign())?;
        let key = part()?.to_owned();
        let written = Timestamp::from_second(written).map_err(|_| foreign())?;
        Ok(Self { file: File { written, key }, done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_no_other() {
        let file = File { written: Timestamp::UNIX_EPOCH, key: "inbox/ada@example.com/a b.zip".to_owned() };
        let read = Place::read(&Place { file: file.clone(), done: 7 }.write()).unwrap();
        assert_eq!((read.file, read.done), (file, 7));
        for foreign in ["", "c", "1 x inbox/", "99999999999999999 1 inbox/"] {
            assert!(matches!(Place::read(foreign), Err(SourceError::MalformedPage(_))), "{foreign}");
        }
    }
}
