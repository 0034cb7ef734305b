//! Makes the names of a message's files unique. Two files with the same name could not be distinguished, because the
//! size that Graph reports differs from the file's.

use std::collections::{HashMap, HashSet};

/// Makes the names distinct: the first file with a name keeps it, the next becomes `IMG (2).jpg`. The original names
/// are in the evidence.
pub(super) fn make_unique(names: &mut [String]) {
    // A new name must not equal the original name of another file.
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut counts: HashMap<String, usize> = HashMap::with_capacity(names.len());
    for name in names {
        let number = counts.entry(name.clone()).and_modify(|number| *number += 1).or_insert(1);
        if *number > 1 {
            let mut unique = numbered(name, *number);
            while !taken.insert(unique.clone()) {
                *number += 1;
                unique = numbered(name, *number);
            }
            *name = unique;
        }
    }
}

fn numbered(name: &str, number: usize) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{name} ({number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique<const N: usize>(names: [&str; N]) -> [String; N] {
        let mut names = names.map(str::to_owned);
        make_unique(&mut names);
        names
    }

    #[test]
    fn first_file_keeps_its_name_and_no_name_is_used_twice() {
        assert_eq!(unique(["a.jpg", "b.jpg", "a.jpg", "a.jpg"]), ["a.jpg", "b.jpg", "a (2).jpg", "a (3).jpg"]);
        assert_eq!(unique(["a.jpg", "a.jpg", "a (2).jpg"]), ["a.jpg", "a (3).jpg", "a (2).jpg"]);
        assert_eq!(unique(["a (2).jpg", "a.jpg", "a.jpg"]), ["a (2).jpg", "a.jpg", "a (3).jpg"]);
        assert_eq!(unique(["note", "note", ".hidden", ".hidden"]), ["note", "note (2)", ".hidden", ".hidden (2)"]);
        assert_eq!(unique(["A.jpg", "a.jpg"]), ["A.jpg", "a.jpg"]);
    }
}
