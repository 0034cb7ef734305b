//! Reads a large message as a stream and keeps all of it except its large files.

use std::ops::Range;

use bytes::BytesMut;
use mail_parser::{MessageParser, MimeHeaders};
use memchr::memmem;

use super::left_out::LeftOut;

/// Maximum base64 length of a file that is kept when a message is read in pieces.
pub const SMALL_FILE_BYTES: usize = 64 << 10;

/// Maximum number of bytes that are kept. The texts and the evidence of the largest allowed item fit.
const MAX_KEPT_BYTES: usize = 48 << 20;

/// Number of bytes at the end of a file's base64 that show its padding: two characters and CRLF.
const TAIL: usize = 4;

const HEADERS_END: &[u8] = b"\r\n\r\n";

/// Error of a message that convert did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    /// It is not multipart, or its headers do not end.
    #[error("the stored message has no parts")]
    NoParts,
    /// A large file is not in lines of 76 characters.
    #[error("a file of the stored message is not in convert's base64 format")]
    Base64,
    /// The message has too many files, or too much text.
    #[error("the stored message without its large files exceeds {MAX_KEPT_BYTES} bytes")]
    TooMuch,
}

/// Parses the outermost parts of a message.
pub struct Outline {
    /// Maximum base64 length of a file that is kept.
    small: usize,
    kept: Vec<u8>,
    files: Vec<LeftOut>,
    /// Input that was not read yet, and its offset in the message.
    rest: BytesMut,
    rest_at: u64,
    /// CRLF, two hyphens and the boundary. Empty until the message's headers were read.
    delimiter: Vec<u8>,
    inside: Inside,
}

enum Inside {
    /// The headers of the message or of a part.
    Headers,
    /// A part's body that is always kept.
    Text,
    /// A part's base64.
    File {
        /// Offset in the message.
        begins: u64,
        /// Offset in the kept bytes.
        at: usize,
        /// `true` if it is too long to be kept.
        left_out: bool,
        /// The last characters.
        tail: Vec<u8>,
    },
}

impl Outline {
    /// Creates a parser that keeps files of at most this much base64, line breaks included.
    pub fn new(small: usize) -> Self {
        Self {
            small,
            kept: Vec::new(),
            files: Vec::new(),
            rest: BytesMut::new(),
            rest_at: 0,
            delimiter: Vec::new(),
            inside: Inside::Headers,
        }
    }

    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), OutlineError> {
        self.rest.extend_from_slice(bytes);
        while self.step()? {}
        if self.kept.len() + self.rest.len() > MAX_KEPT_BYTES { Err(OutlineError::TooMuch) } else { Ok(()) }
    }

    /// Returns the kept bytes, and the files that were left out.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<LeftOut>), OutlineError> {
        // The last delimiter ends with two hyphens.
        if self.delimiter.is_empty() || !matches!(self.inside, Inside::Headers) || !self.rest.starts_with(b"--") {
            return Err(OutlineError::NoParts);
        }
        self.kept.extend_from_slice(&self.rest);
        Ok((self.kept, self.files))
    }

    /// Reads one part of the input. Returns whether the rest may contain another one.
    fn step(&mut self) -> Result<bool, OutlineError> {
        if matches!(self.inside, Inside::Headers) {
            let Some(end) = memmem::find(&self.rest, HEADERS_END) else { return Ok(false) };
            let headers = self.take(end + HEADERS_END.len());
            self.inside = if self.delimiter.is_empty() {
                self.delimiter = delimiter(&headers)?;
                Inside::Text
            } else if is_base64(&headers) {
                let at = self.kept.len() + headers.len();
                Inside::File { begins: self.rest_at, at, left_out: false, tail: Vec::new() }
            } else {
                Inside::Text
            };
            self.kept.extend(headers);
            // The delimiter after a part without a body begins with the end of its headers.
            return Ok(true);
        }
        match memmem::find(&self.rest, &self.delimiter) {
            Some(end) => {
                let body = self.take(end);
                self.body(&body)?;
                self.end_body()?;
                let delimiter = self.take(self.delimiter.len());
                self.kept.extend(delimiter);
                self.inside = Inside::Headers;
                Ok(true)
            }
            None => {
                // The end of the input may be the beginning of a delimiter.
                let sure = self.rest.len().saturating_sub(self.delimiter.len());
                let body = self.take(sure);
                self.body(&body)?;
                Ok(false)
            }
        }
    }

    fn take(&mut self, length: usize) -> BytesMut {
        self.rest_at += length as u64;
        self.rest.split_to(length)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), OutlineError> {
        if let Inside::File { at, left_out, tail, .. } = &mut self.inside {
            tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
            tail.drain(..tail.len().saturating_sub(TAIL));
            if !*left_out && self.kept.len() - *at + bytes.len() > self.small {
                self.kept.truncate(*at);
                *left_out = true;
            }
            if *left_out {
                return Ok(());
            }
        }
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > MAX_KEPT_BYTES { Err(OutlineError::TooMuch) } else { Ok(()) }
    }

    fn end_body(&mut self) -> Result<(), OutlineError> {
        if let Inside::File { begins, at, left_out: true, tail } = &self.inside {
            let base64 = *begins..self.rest_at;
            let bytes = decoded(&base64, tail).ok_or(OutlineError::Base64)?;
            self.files.push(LeftOut { at: *at, base64, bytes });
        }
        Ok(())
    }
}

/// Returns the length of the file that these lines of base64 encode.
fn decoded(base64: &Range<u64>, tail: &[u8]) -> Option<u64> {
    let tail = tail.strip_suffix(b"\r\n")?;
    let length = base64.end - base64.start;
    let characters = length.checked_sub(length.div_ceil(78) * 2)?;
    let padding = tail.iter().rev().take_while(|byte| **byte == b'=').count() as u64;
    if characters % 4 == 0 { (characters / 4 * 3).checked_sub(padding) } else { None }
}

fn delimiter(headers: &[u8]) -> Result<Vec<u8>, OutlineError> {
    let head = MessageParser::new().parse_headers(headers);
    let boundary = head.as_ref().and_then(|head| head.content_type()?.attribute("boundary"));
    let boundary = boundary.filter(|boundary| !boundary.is_empty()).ok_or(OutlineError::NoParts)?;
    Ok(format!("\r\n--{boundary}").into_bytes())
}

fn is_base64(headers: &[u8]) -> bool {
    let headers = headers.strip_prefix(b"\r\n").unwrap_or(headers);
    let part = MessageParser::new().parse_headers(headers);
    part.and_then(|part| part.content_transfer_encoding().map(|how| how.eq_ignore_ascii_case("base64"))) == Some(true)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<u8> {
        STANDARD.encode(bytes).as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
    }

    /// A message with files of these lengths, its outline and the files that are left out.
    fn message(lengths: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<LeftOut>) {
        let (mut whole, mut outline, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let head = b"Date: Sun, 22 Nov 2026 07:00:00 +0000\r\nContent-Type: multipart/mixed; boundary=\"=_o\"\r\n\r\n";
        let text =
            b"\r\n--=_o\r\nContent-Type: text/plain\r\n\r\n--=_other\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        for all in [&mut whole, &mut outline] {
            all.extend_from_slice(head);
            all.extend_from_slice(text);
        }
        for length in lengths {
            let headers = b"\r\n--=_o\r\nContent-Type: video/mp4\r\ncontent-transfer-encoding: BASE64\r\n\r\n";
            whole.extend_from_slice(headers);
            outline.extend_from_slice(headers);
            let base64 = lines(&vec![7; *length]);
            let begins = whole.len() as u64;
            whole.extend_from_slice(&base64);
            if base64.len() > SMALL_FILE_BYTES {
                let base64 = begins..whole.len() as u64;
                files.push(LeftOut { at: outline.len(), base64, bytes: *length as u64 });
            } else {
                outline.extend_from_slice(&base64);
            }
        }
        for all in [&mut whole, &mut outline] {
            all.extend_from_slice(b"\r\n--=_o--\r\n");
        }
        (whole, outline, files)
    }

    #[test]
    fn outline_leaves_out_large_files_only_at_any_chunk_size() {
        let lengths = [0, 10, 47_000, 60_000, 60_001, 60_002, 57 * 2000, 1];
        let (whole, expected, files) = message(&lengths);
        assert_eq!(files.len(), 4);
        for step in [1, 7, 78, 1000, whole.len()] {
            let mut outline = Outline::new(SMALL_FILE_BYTES);
            whole.chunks(step).for_each(|bytes| outline.push(bytes).unwrap());
            let (kept, left_out) = outline.finish().unwrap();
            assert!(kept == expected, "by {step}");
            assert_eq!(left_out, files, "by {step}");
        }
    }

    #[test]
    fn message_that_convert_did_not_write_has_no_outline() {
        let of = |message: &[u8]| {
            let mut outline = Outline::new(SMALL_FILE_BYTES);
            outline.push(message).and_then(|()| outline.finish().map(drop))
        };
        let (whole, ..) = message(&[60_000]);
        for end in [0, 10, 90, 200, 300, whole.len() / 2] {
            assert_eq!(of(&whole[..end]), Err(OutlineError::NoParts), "{end}");
        }
        assert_eq!(of(b"Subject: x\r\n\r\nx"), Err(OutlineError::NoParts));
        let odd = String::from_utf8(whole).unwrap().replace("\r\n\r\n--=_o--", "\r\n\r\n\r\n--=_o--");
        assert_eq!(of(odd.as_bytes()), Err(OutlineError::Base64));
        let (head, ..) = message(&[]);
        let long = [head.strip_suffix(b"\r\n--=_o--\r\n").unwrap(), &vec![b'a'; MAX_KEPT_BYTES]].concat();
        assert_eq!(of(&long), Err(OutlineError::TooMuch));
    }
}
