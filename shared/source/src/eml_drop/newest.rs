//! Reads the newest file of the inbox, for `archiver doctor`, and writes nothing.

use aws::s3::{Listed as Object, StoreError, Version};
use eml_drop::{EntryKind, Package, has_vendor_id};
use jiff::Timestamp;
use model::keys;
use tokio::runtime::Handle;

use super::{EmlDrop, SES_NOTIFICATION, pieces::Pieces};
use crate::{
    SourceError,
    inbox::{self, unavailable},
};

/// The newest file of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Time of its upload.
    pub received: Timestamp,
    /// `true` if a mail in it has the header field with the id, as configured in the profile; an error if no mail can
    /// be read.
    pub has_vendor_id: Result<bool, String>,
}

/// Maximum number of mails of the file that are read.
const MAX_MAILS: usize = 20;

/// Maximum size of a mail that is read, in bytes.
const MAX_MAIL_BYTES: u64 = 32 << 20;

impl EmlDrop {
    /// Reads the newest file; `None` if the inbox is empty.
    ///
    /// # Errors
    /// [`SourceError`]: the inbox cannot be listed or read.
    pub async fn newest(&self) -> Result<Option<Newest>, SourceError> {
        let mut newest: Option<Object> = None;
        let list = self.store.list(keys::INBOX, |page| {
            let files = page.into_iter().filter(|object| inbox::is_file(object, SES_NOTIFICATION));
            newest = files.chain(newest.take()).max_by_key(|object| object.last_modified);
            async { Ok::<_, StoreError>(()) }
        });
        list.await.map_err(unavailable)?;
        let Some(object) = newest else { return Ok(None) };
        let has_vendor_id = match self.first_mails(&object).await? {
            Ok(mails) if mails.is_empty() => Err("it contains no mail".to_owned()),
            Ok(mails) => Ok(mails.iter().any(|mail| has_vendor_id(mail, &self.profile))),
            Err(why) => Err(why),
        };
        Ok(Some(Newest { received: object.last_modified, has_vendor_id }))
    }

    async fn first_mails(&self, object: &Object) -> Result<Result<Vec<Vec<u8>>, String>, SourceError> {
        if !object.key.to_ascii_lowercase().ends_with(".zip") {
            return match self.store.get(&object.key, MAX_MAIL_BYTES).await {
                Ok(found) => Ok(Ok(found.into_iter().map(|object| object.bytes.to_vec()).collect())),
                Err(StoreError::TooLarge { .. }) => Ok(Err(format!("the mail has more than {MAX_MAIL_BYTES} bytes"))),
                Err(error) => Err(unavailable(error)),
            };
        }
        let reader = Pieces::new(self.store.clone(), Version::from(object), Handle::current());
        let read = tokio::task::spawn_blocking(move || {
            let mut package = Package::open(reader)?;
            let mails = package.names().enumerate().filter(|(_, (_, kind))| *kind == EntryKind::Mail);
            let places: Vec<_> = mails.map(|(place, _)| place).take(MAX_MAILS).collect();
            places.into_iter().map(|place| package.read(place, MAX_MAIL_BYTES)).collect::<Result<Vec<_>, _>>()
        });
        // A panic of the reader also means that the file is damaged.
        Ok(match read.await {
            Ok(read) => read.map_err(|error: eml_drop::PackageError| error.to_string()),
            Err(_) => Err("the zip is damaged".to_owned()),
        })
    }
}
