//! A message in pieces: written bytes, and placeholders for files. Rendering does not need the files, so a file of any
//! size can be streamed into its place. A message in memory is built from the same pieces.

use bytes::{Buf, Bytes};
use encodify::base64::MIME;
use memchr::memmem;
use model::Sha256;

/// Number of bytes that a full line of base64 (76 characters) encodes.
const LINE: usize = 57;

/// A piece of a rendered message.
#[derive(Clone)]
pub enum Piece {
    /// Rendered bytes.
    Written(Bytes),
    /// The placeholder of an attachment, which [`Base64Lines`] encodes.
    File {
        /// Index in the item's list, from 0.
        index: usize,
        /// Length before it is encoded.
        bytes: u64,
    },
}

/// Writes base64 in lines of 76 characters, each ending with CR LF. The lines do not depend on how the bytes are split
/// into slices.
#[derive(Default)]
pub struct Base64Lines {
    /// The bytes of an incomplete line.
    begun: Vec<u8>,
}

impl Base64Lines {
    /// Returns the length of the lines for this many bytes.
    pub fn length(bytes: u64) -> u64 {
        let characters = bytes.div_ceil(3).saturating_mul(4);
        characters.saturating_add(characters.div_ceil(76).saturating_mul(2))
    }

    /// Appends the complete lines to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        if !self.begun.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(LINE - self.begun.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
            if self.begun.len() < LINE {
                return;
            }
            MIME.encode_append(&self.begun, out);
            self.begun.clear();
        }
        let (full, begun) = bytes.split_at(bytes.len() / LINE * LINE);
        MIME.encode_append(full, out);
        self.begun.extend_from_slice(begun);
    }

    /// Appends the last line.
    pub fn finish(self, out: &mut Vec<u8>) {
        MIME.encode_append(&self.begun, out);
    }
}

/// Returns the mark of a file, at which the message is cut. It is unique, because no text can contain its own hash.
pub(crate) fn mark(seed: &Sha256, index: usize) -> String {
    format!("=_file_{}_{index}_", seed.short_hex())
}

/// Cuts a message at the marks of these files, given by index and length in the order of the message. `None` if a mark
/// is missing: the message would lack a file. Reads the message once and copies no bytes.
pub(crate) fn cut(message: Vec<u8>, seed: &Sha256, files: &[(usize, u64)]) -> Option<Vec<Piece>> {
    let mut message = Bytes::from(message);
    let mut pieces = Vec::with_capacity(2 * files.len() + 1);
    for &(index, bytes) in files {
        let mark = mark(seed, index);
        let at = memmem::find(&message, mark.as_bytes())?;
        pieces.push(Piece::Written(message.split_to(at)));
        message.advance(mark.len());
        pieces.push(Piece::File { index, bytes });
    }
    pieces.push(Piece::Written(message));
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000] {
            let whole = MIME.encode(&bytes[..length]);
            assert_eq!(Base64Lines::length(length as u64), whole.len() as u64, "{length}");
            for step in [1, 2, 56, 57, 58, 999, 1000] {
                let (mut lines, mut out) = (Base64Lines::default(), Vec::new());
                bytes[..length].chunks(step).for_each(|bytes| lines.push(bytes, &mut out));
                lines.finish(&mut out);
                assert!(out == whole.as_bytes(), "{length} bytes by {step}");
            }
        }
        assert!(Base64Lines::length(u64::MAX) > 0);
    }

    #[test]
    fn message_with_many_files_is_cut_without_a_copy() {
        let seed = Sha256::of(b"");
        let files: Vec<_> = (0..1_000).map(|index| (index, 1)).collect();
        let mut message = b"head".to_vec();
        for (index, _) in &files {
            message.extend_from_slice(mark(&seed, *index).as_bytes());
            message.extend_from_slice(b"between");
        }
        message.extend(vec![b'x'; 10 << 20]);
        let mut pieces = None;
        let took = allocation_counter::measure(|| pieces = cut(message, &seed, &files));
        assert!(took.bytes_total < 1 << 20, "{} bytes", took.bytes_total);
        let pieces = pieces.expect("every mark is there");
        assert_eq!(pieces.len(), 2_001);
        assert!(matches!(pieces.first(), Some(Piece::Written(head)) if head == "head"));
        assert!(matches!(pieces.last(), Some(Piece::Written(rest)) if rest.len() == (10 << 20) + 7));
        assert!(cut(b"head".to_vec(), &seed, &files).is_none());
    }
}
