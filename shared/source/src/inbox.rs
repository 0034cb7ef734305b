//! The bucket's inbox: its files in the order of their upload, and a place in the list of everything that they contain.

use aws::s3::{Listed as Object, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use model::{ItemId, Listed, Window, keys};

use crate::{Page, SourceError};

/// An object that is uploaded in parts, as `aws s3 cp` does above 8 MB, has the time at which its upload began, and is
/// listed when the upload has ended. The bucket's lifecycle rule aborts an upload that is a day old at the second
/// midnight.
pub(crate) const MAX_UPLOAD: SignedDuration = SignedDuration::from_hours(48);

/// Maximum number of entries of a page.
pub(crate) const PAGE_ITEMS: usize = 1000;

/// A file by the time of its upload and its key: the order in which files are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    pub(crate) written: Timestamp,
    pub(crate) key: String,
}

impl From<&Object> for File {
    fn from(object: &Object) -> Self {
        Self { written: object.last_modified, key: object.key.clone() }
    }
}

impl File {
    /// Returns the id of the item that represents a file whose name does not fit into an id. No such item is found, and
    /// the dead letter names the file.
    pub(crate) fn key_as_id(&self) -> String {
        self.key.chars().take(ItemId::MAX_CHARS).collect()
    }
}

/// The end of a page.
pub(crate) struct Place {
    pub(crate) file: File,
    /// Number of messages of the file that were listed.
    pub(crate) done: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { file: File { written: Timestamp::MIN, key: String::new() }, done: 0 }
    }
}

impl Place {
    /// Returns the place of a page's cursor; the beginning for the first page.
    pub(crate) fn of(cursor: Option<&str>) -> Result<Self, SourceError> {
        cursor.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Ends a page at this place. Files are listed in the order of their upload, so all files older than the place's file
    /// are listed. The entries' own times may be others and do not count here.
    pub(crate) fn end(&self, mut page: Page) -> Page {
        page.reached = Some(self.file.written);
        page.next = Some(self.write());
        page
    }

    fn write(&self) -> String {
        format!("{} {} {}", self.file.written.as_second(), self.done, self.file.key)
    }

    fn read(cursor: &str) -> Result<Self, SourceError> {
        let foreign = || SourceError::MalformedPage("the cursor was not written by this adapter".to_owned());
        let mut parts = cursor.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(foreign);
        let written = part()?.parse().map_err(|_| foreign())?;
        let done = part()?.parse().map_err(|_| foreign())?;
        let key = part()?.to_owned();
        let written = Timestamp::from_second(written).map_err(|_| foreign())?;
        Ok(Self { file: File { written, key }, done })
    }
}

/// Adds entries of a file to a page; `done` entries of the file were listed before them. Returns the end of the page if
/// one of them does not fit.
pub(crate) fn fill(page: &mut Page, file: &File, done: usize, entries: impl Iterator<Item = Listed>) -> Option<Place> {
    for (done, entry) in (done..).zip(entries) {
        if page.items.len() >= PAGE_ITEMS {
            return Some(Place { file: file.clone(), done });
        }
        page.items.push(entry);
    }
    None
}

/// Returns whether an object is a file of the source: neither a folder nor a file with the suffix `aside`.
pub(crate) fn is_file(object: &Object, aside: &str) -> bool {
    !object.key.ends_with('/') && !object.key.ends_with(aside)
}

/// Lists the files that were uploaded in the window, oldest first, without folders and files with the suffix `aside`.
pub(crate) async fn files(store: &Store, window: &Window, aside: &str) -> Result<Vec<Object>, SourceError> {
    let mut files = Vec::new();
    let list = store.list(keys::INBOX, |page| {
        files.extend(
            page.into_iter()
                .filter(|object| is_file(object, aside) && (window.from..window.to).contains(&object.last_modified)),
        );
        async { Ok::<_, StoreError>(()) }
    });
    list.await.map_err(unavailable)?;
    files.sort_by_cached_key(|object| File::from(object));
    Ok(files)
}

/// Returns the error of the source for an error of the bucket.
pub(crate) fn unavailable(error: StoreError) -> SourceError {
    match error {
        StoreError::Unavailable { .. } => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
        StoreError::Configuration { .. } => SourceError::Configuration { detail: error.to_string() },
        StoreError::TooLarge { .. } => SourceError::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_ends_before_the_entry_that_does_not_fit() {
        let file = File { written: Timestamp::UNIX_EPOCH, key: "inbox/a.zip".to_owned() };
        let entry = |number: usize| Listed { item: number.into(), archived_time: 0.into() };
        let mut page = Page::default();
        assert!(fill(&mut page, &file, 0, (0..PAGE_ITEMS - 1).map(entry)).is_none());
        let end = fill(&mut page, &file, 5, (5..8).map(entry)).unwrap();
        assert_eq!((end.file, end.done, page.items.len()), (file, 6, PAGE_ITEMS));
        assert_eq!(page.items.last(), Some(&entry(5)));
    }

    #[test]
    fn place_is_read_as_it_was_written() {
        let file = File { written: Timestamp::UNIX_EPOCH, key: "inbox/ada@example.com/a b.zip".to_owned() };
        let read = Place::read(&Place { file: file.clone(), done: 7 }.write()).unwrap();
        assert_eq!((read.file, read.done), (file, 7));
        for foreign in ["", "c", "1 x inbox/", "99999999999999999 1 inbox/"] {
            assert!(matches!(Place::read(foreign), Err(SourceError::MalformedPage(_))), "{foreign}");
        }
    }
}
