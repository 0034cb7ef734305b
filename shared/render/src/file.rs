//! What has to be known of a file before its place in a message can be written.

use item::Sha256;

/// What is known of a file whose bytes are not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// How many bytes it has.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Sha256,
    /// Whether they are text that has to be called UTF-8: it is, and it is not all ASCII.
    pub utf8: bool,
}

impl FileFacts {
    /// The facts of a file that is in memory, whose digest is known.
    pub fn of(bytes: &[u8], sha256: Sha256) -> Self {
        let mut probe = Utf8Probe::default();
        probe.push(bytes);
        Self { bytes: bytes.len() as u64, sha256, utf8: probe.finish() }
    }
}

/// Finds [`FileFacts::utf8`] out while the bytes come, however they are cut into slices.
#[derive(Debug, Clone, Default)]
pub struct Utf8Probe {
    /// The beginning of a character that the last slice ended in.
    begun: Vec<u8>,
    beyond_ascii: bool,
    broken: bool,
}

impl Utf8Probe {
    /// The longest character that is not complete.
    const BEGUN: usize = 3;

    /// Takes what comes next.
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

    /// Whether all that came is UTF-8 and not all ASCII.
    pub fn finish(self) -> bool {
        self.beyond_ascii && !self.broken && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_however_the_bytes_come() {
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
