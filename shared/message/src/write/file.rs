//! The facts about a file that rendering needs before the file's bytes.

use model::Sha256;

use crate::write::picture::Picture;

/// Facts about a file without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Length of the file.
    pub bytes: u64,
    /// Digest of the bytes.
    pub sha256: Sha256,
    /// `true` if the bytes are UTF-8 and not all ASCII, so that a text file must declare its character set.
    pub utf8: bool,
    /// Format and size if the file is a picture that the message shows in place.
    pub picture: Option<Picture>,
}

impl FileFacts {
    /// Determines the facts of a file in memory with a known digest.
    pub fn of(bytes: &[u8], sha256: Sha256) -> Self {
        let mut probe = Utf8Probe::default();
        probe.push(bytes);
        Self { bytes: bytes.len() as u64, sha256, utf8: probe.finish(), picture: Picture::of(bytes) }
    }
}

/// The content of an attachment.
#[derive(Clone, Copy)]
pub enum Content {
    /// A file, already checked against the item's declared digest.
    File(FileFacts),
    /// The source erased the file by its retention (410). The message states that instead.
    Erased,
}

/// Computes [`FileFacts::utf8`] from slices of bytes.
#[derive(Debug, Clone, Default)]
pub struct Utf8Probe {
    /// The incomplete character at the end of the last slice.
    begun: Vec<u8>,
    beyond_ascii: bool,
    broken: bool,
}

impl Utf8Probe {
    /// Maximum number of bytes of an incomplete character.
    const BEGUN: usize = 3;

    /// Takes the next slice.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.broken {
            return;
        }
        self.beyond_ascii |= !bytes.is_ascii();
        while !self.begun.is_empty() {
            let Some((next, rest)) = bytes.split_first() else { return };
            self.begun.push(*next);
            bytes = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            match bytes.get(error.valid_up_to()..) {
                Some(begun) if error.error_len().is_none() && begun.len() <= Self::BEGUN => {
                    self.begun.extend_from_slice(begun);
                }
                _ => self.broken = true,
            }
        }
    }

    /// Returns whether all slices together are UTF-8 and not all ASCII.
    pub fn finish(self) -> bool {
        self.beyond_ascii && !self.broken && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_finds_utf8_however_the_bytes_are_cut() {
        for (bytes, expected) in [
            (&b""[..], false),
            (b"plain", false),
            ("blåbær 👩‍👩‍👧 ok".as_bytes(), true),
            (b"\xff\xfe", false),
            ("é".as_bytes(), true),
            (&"é".as_bytes()[..1], false),
            (b"a\xf0\x9f\x91", false),
            (b"\xe9t\xe9", false),
        ] {
            for step in 1..=bytes.len().max(1) {
                let mut probe = Utf8Probe::default();
                bytes.chunks(step).for_each(|bytes| probe.push(bytes));
                assert_eq!(probe.finish(), expected, "{bytes:?} by {step}");
            }
        }
    }
}
