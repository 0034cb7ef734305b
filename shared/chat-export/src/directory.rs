//! Reads the number of entries that a zip declares, before the zip is opened: the zip reader takes some hundred bytes
//! of memory per entry, and a file of 256 MB can declare five million.

use crate::error::ExportError;

const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;

/// Maximum length of the comment after the end record: its length has 16 bits.
const COMMENT_MAX_BYTES: usize = 1 << 16;

/// Maximum distance in bytes between the declared place of a 64-bit end record and its locator. Phones write only the
/// 56 bytes of the record.
const END64_MAX_DISTANCE_BYTES: usize = 1 << 16;

/// Returns the largest number of entries that an end record declares. A zip that was not written by a phone may have
/// several places that look like an end record, and readers differ in the one that they use, so all are considered.
///
/// # Errors
/// [`ExportError::ZipDamaged`] if a 64-bit record is not where a phone writes it.
pub(crate) fn declared_entries(zip: &[u8]) -> Result<u64, ExportError> {
    if let Some(count) = phone_end_record(zip) {
        return Ok(count);
    }
    let mut largest = 0;
    for end in positions(zip, END, zip.len().saturating_sub(COMMENT_MAX_BYTES + END_BYTES + END.len())..zip.len()) {
        let Some(count) = number::<2>(zip, end + 10) else { continue };
        let locator = end.checked_sub(LOCATOR64_BYTES).filter(|at| zip[*at..].starts_with(LOCATOR64));
        let Some(locator) = locator else {
            largest = largest.max(count);
            continue;
        };
        // The largest 16-bit number is a placeholder: the 64-bit record has the number.
        if count < u64::from(u16::MAX) {
            largest = largest.max(count);
        }
        let from = number::<8>(zip, locator + 8).and_then(|from| usize::try_from(from).ok());
        let from =
            from.filter(|from| locator.checked_sub(*from).is_some_and(|distance| distance <= END64_MAX_DISTANCE_BYTES));
        let from = from.ok_or(ExportError::ZipDamaged)?;
        for end64 in positions(zip, END64, from..locator) {
            largest = largest.max(number::<8>(zip, end64 + 32).unwrap_or(u64::MAX));
        }
    }
    Ok(largest)
}

/// Returns the number of entries in the end record of a phone's zip: the last bytes of the file, directly after the
/// directory, for a single disk and without 64-bit fields. Every reader uses this record. Other bytes that look like an
/// end record then belong to a file of the chat, so a sent file cannot prevent the chat from being read.
fn phone_end_record(zip: &[u8]) -> Option<u64> {
    let end = zip.len().checked_sub(END_BYTES).filter(|end| zip[*end..].starts_with(END))?;
    let (disks, on_this_disk, count) =
        (number::<4>(zip, end + 4)?, number::<2>(zip, end + 8)?, number::<2>(zip, end + 10)?);
    let (size, from, comment) = (number::<4>(zip, end + 12)?, number::<4>(zip, end + 16)?, number::<2>(zip, end + 20)?);
    let from = usize::try_from(from).ok().filter(|from| usize::try_from(size).is_ok_and(|size| *from + size == end))?;
    let begins = count == 0 || zip[from..].starts_with(ENTRY);
    (disks == 0 && on_this_disk == count && count < u64::from(u16::MAX) && comment == 0 && begins).then_some(count)
}

/// Returns the positions of these four bytes.
fn positions<'a>(zip: &'a [u8], magic: &'a [u8], range: std::ops::Range<usize>) -> impl Iterator<Item = usize> + 'a {
    range.filter(move |at| zip[*at..].starts_with(magic))
}

fn number<const BYTES: usize>(zip: &[u8], at: usize) -> Option<u64> {
    let bytes = zip.get(at..at.checked_add(BYTES)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
