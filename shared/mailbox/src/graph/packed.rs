//! Packs a file that is too large for one request and too small for an upload session into a ZIP archive that is large
//! enough for a session. Microsoft documents both limits as round numbers, and depending on how they are read there is
//! a gap between them.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, result::ZipResult, write::SimpleFileOptions};

use super::{error::Failure, limits::UPLOAD_SESSION_MIN_BYTES};

/// The name of the entry that makes the archive large enough.
const FILLER: &str = "filler (empty)";

/// Stores the file, uncompressed, in a ZIP archive of at least [`UPLOAD_SESSION_MIN_BYTES`]. The same file results in
/// the same bytes.
pub(super) fn pack(name: &str, file: &[u8]) -> Result<Vec<u8>, Failure> {
    write(name, file).map_err(|_| Failure::Internal { what: "packing a file failed" })
}

fn write(name: &str, file: &[u8]) -> ZipResult<Vec<u8>> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(UPLOAD_SESSION_MIN_BYTES + 4096)));
    zip.start_file(name, stored)?;
    zip.write_all(file)?;
    zip.start_file(FILLER, stored)?;
    zip.write_all(&vec![0; UPLOAD_SESSION_MIN_BYTES.saturating_sub(file.len())])?;
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn packed_file_is_complete_and_large_enough_for_a_session() {
        let file: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
        let packed = pack("a b.jpg", &file).unwrap();
        assert!(
            (UPLOAD_SESSION_MIN_BYTES..UPLOAD_SESSION_MIN_BYTES + 1024).contains(&packed.len()),
            "{}",
            packed.len()
        );
        assert_eq!(packed, pack("a b.jpg", &file).unwrap());
        let mut read = Vec::new();
        zip::ZipArchive::new(Cursor::new(packed)).unwrap().by_name("a b.jpg").unwrap().read_to_end(&mut read).unwrap();
        assert!(read == file);
    }
}
