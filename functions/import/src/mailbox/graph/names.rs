//! The names of a message's files in a mailbox. Graph tells what is there by name and by a size that is not the file's
//! own: two files of one name could not be told apart.

use std::collections::{HashMap, HashSet};

use super::message::Attachment;

/// Gives each file a name of its own: the first of a name keeps it, the next is `IMG (2).jpg`. The true names are in the
/// evidence.
pub(super) fn make_unique(files: &mut [Attachment<'_>]) {
    // What another file is called is never given to a second one, wherever it stands.
    let mut taken: HashSet<String> = files.iter().map(|file| file.name.clone()).collect();
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(files.len());
    for file in files {
        let number = seen.entry(file.name.clone()).and_modify(|number| *number += 1).or_insert(1);
        if *number > 1 {
            let mut name = numbered(&file.name, *number);
            while !taken.insert(name.clone()) {
                *number += 1;
                name = numbered(&file.name, *number);
            }
            file.name = name;
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
    use crate::mailbox::graph::message::Data;

    fn unique(names: &[&str]) -> Vec<String> {
        let file = |name: &&str| Attachment {
            name: (*name).to_owned(),
            content_type: "image/jpeg".to_owned(),
            data: Data::Here(vec![].into()),
        };
        let mut files: Vec<_> = names.iter().map(file).collect();
        make_unique(&mut files);
        files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn the_first_keeps_its_name_and_no_name_is_given_twice() {
        assert_eq!(unique(&["a.jpg", "b.jpg", "a.jpg", "a.jpg"]), ["a.jpg", "b.jpg", "a (2).jpg", "a (3).jpg"]);
        assert_eq!(unique(&["a.jpg", "a.jpg", "a (2).jpg"]), ["a.jpg", "a (3).jpg", "a (2).jpg"]);
        assert_eq!(unique(&["a (2).jpg", "a.jpg", "a.jpg"]), ["a (2).jpg", "a.jpg", "a (3).jpg"]);
        assert_eq!(unique(&["note", "note", ".hidden", ".hidden"]), ["note", "note (2)", ".hidden", ".hidden (2)"]);
        assert_eq!(unique(&["A.jpg", "a.jpg"]), ["A.jpg", "a.jpg"]);
    }
}
