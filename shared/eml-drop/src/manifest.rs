//! The manifest in a vendor's zip: the names of its mails and their number.
//!
//! Its exact format is not public. It is known that it lists the file name of each EML and has `Count:`. Therefore every
//! name that ends in `.eml` is read, whatever text is beside it, and a manifest without names or count is a separate
//! problem.

/// The content of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The declared number of mails.
    pub count: Option<u64>,
    /// The names, in order, each once.
    pub names: Vec<String>,
}

impl Manifest {
    /// Maximum size of a manifest, in bytes.
    pub const MAX_BYTES: u64 = 16 << 20;

    /// Reads a manifest. Bytes that are not UTF-8 are replaced.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = text(bytes);
        let mut manifest = Self::default();
        let mut seen = std::collections::HashSet::new();
        for line in text.lines() {
            if let Some(count) = count(line) {
                manifest.count.get_or_insert(count);
                continue;
            }
            for name in names(line) {
                if seen.insert(name.to_owned()) {
                    manifest.names.push(name.to_owned());
                }
            }
        }
        manifest
    }
}

/// Decodes UTF-8, or UTF-16 with a byte order mark.
fn text(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Parses a line such as `Count: 812`.
fn count(line: &str) -> Option<u64> {
    let (label, number) = line.split_once([':', '='])?;
    label.trim().eq_ignore_ascii_case("count").then(|| number.trim().parse().ok()).flatten()
}

/// Returns the names in a line: alone, after a label, in quotes or in a column.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let columns = line.split(['\t', ',', ';', '|', '"', '=']);
    columns.filter_map(|column| {
        let column = column.trim();
        if !column.to_ascii_lowercase().ends_with(".eml") {
            return None;
        }
        // "Name: a.eml"
        let name = column.rsplit_once(": ").map_or(column, |(_, name)| name).trim();
        Some(name.strip_prefix("./").unwrap_or(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_count_are_found_in_any_surroundings() {
        let names = ["one.eml", "two three.eml", "sub/4.EML"];
        for text in [
            "Count: 3\none.eml\ntwo three.eml\nsub/4.EML\n",
            "one.eml\r\ntwo three.eml\r\n./sub/4.EML\r\ncount : 3\r\n",
            "Date: 2026-11-20\nName: one.eml\nName: two three.eml\nName: sub/4.EML\nCOUNT=3",
            "1,\"one.eml\",1201\n2,\"two three.eml\",88\n3,\"sub/4.EML\",7\nCount: 3\nCount: 9\n",
            "File=one.eml|two three.eml|sub/4.EML|one.eml\nCount: 3",
        ] {
            let manifest = Manifest::parse(text.as_bytes());
            assert_eq!((manifest.count, manifest.names.as_slice()), (Some(3), &names.map(String::from)[..]), "{text}");
            let utf16: Vec<u8> =
                [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
            assert_eq!(Manifest::parse(&utf16), manifest);
        }
    }

    #[test]
    fn manifest_without_count_or_names_has_none() {
        for text in ["", "Count: many\n", "\u{0}\u{ff}", "nothing here"] {
            assert_eq!(Manifest::parse(text.as_bytes()), Manifest::default(), "{text:?}");
        }
    }
}
