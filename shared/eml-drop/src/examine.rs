//! Compares the content of a zip with its manifest.

use std::collections::HashSet;

use model::Problem;

use crate::Manifest;

/// A mail that was found in a zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Readable.
    Read(String),
    /// Empty.
    Empty(String),
    /// Unreadable, with the reason.
    Unreadable(String, String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Read(name) | Self::Empty(name) | Self::Unreadable(name, _) => name,
        }
    }
}

/// Checks the vendor's base_name rules for the receiver: the count matches, every listed mail exists, and no file is empty.
pub fn examine(manifest: Option<&Manifest>, requires_manifest: bool, entries: &[Entry]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let found = entries.len() as u64;
    match manifest {
        Some(manifest) => {
            let listed = manifest.names.len() as u64;
            match manifest.count {
                Some(count) if count != found => problems.push(Problem::Count { manifest: count, zip: found }),
                Some(_) => {}
                None => problems.push(Problem::NoCount),
            }
            if let Some(count) = manifest.count.filter(|count| *count != listed) {
                problems.push(Problem::NamesDiffer { count, names: listed });
            }
            let in_zip: HashSet<&str> = entries.iter().flat_map(|entry| spellings(entry.name())).collect();
            let missing = manifest.names.iter().filter(|name| !spellings(name).any(|name| in_zip.contains(name)));
            problems.extend(missing.map(|name| Problem::Missing { name: name.clone() }));
            let in_manifest: HashSet<&str> = manifest.names.iter().flat_map(|name| spellings(name)).collect();
            let unlisted =
                entries.iter().map(Entry::name).filter(|name| !spellings(name).any(|name| in_manifest.contains(name)));
            problems.extend(unlisted.map(|name| Problem::NotListed { name: name.to_owned() }));
        }
        None if requires_manifest => problems.push(Problem::NoManifest),
        None => {}
    }
    for entry in entries {
        match entry {
            Entry::Read(_) => {}
            Entry::Empty(name) => problems.push(Problem::Empty { name: name.clone() }),
            Entry::Unreadable(name, why) => problems.push(Problem::Unreadable { name: name.clone(), why: why.clone() }),
        }
    }
    problems
}

/// Returns a name with its folders and without them: manifests use both forms.
fn spellings(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.rsplit_once('/').map(|(_, base_name)| base_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(count: u64, names: &[&str]) -> Manifest {
        Manifest { count: Some(count), names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn read(names: &[&str]) -> Vec<Entry> {
        names.iter().map(|name| Entry::Read((*name).to_owned())).collect()
    }

    #[test]
    fn complete_zip_has_no_problems() {
        assert_eq!(examine(Some(&manifest(2, &["a.eml", "b.eml"])), true, &read(&["mail/a.eml", "b.eml"])), []);
        assert_eq!(examine(None, false, &read(&["a.eml"])), []);
    }

    #[test]
    fn missing_empty_and_extra_mails_are_named() {
        let mut entries = read(&["a.eml", "x.eml"]);
        entries.push(Entry::Empty("b.eml".into()));
        let problems = examine(Some(&manifest(4, &["a.eml", "b.eml", "c.eml", "d.eml"])), true, &entries);
        assert_eq!(
            problems,
            [
                Problem::Count { manifest: 4, zip: 3 },
                Problem::Missing { name: "c.eml".into() },
                Problem::Missing { name: "d.eml".into() },
                Problem::NotListed { name: "x.eml".into() },
                Problem::Empty { name: "b.eml".into() },
            ]
        );
        assert_eq!(examine(None, true, &read(&["a.eml"])), [Problem::NoManifest]);
        assert_eq!(
            examine(Some(&manifest(1, &["a.eml", "b.eml"])), true, &read(&["a.eml"])),
            [Problem::NamesDiffer { count: 1, names: 2 }, Problem::Missing { name: "b.eml".into() }]
        );
        assert_eq!(examine(Some(&Manifest::default()), true, &[]), [Problem::NoCount]);
    }
}
