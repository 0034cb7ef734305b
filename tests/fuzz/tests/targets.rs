//! Runs every target on the inputs of `corpus/` and on damaged copies of them. The damage is derived from a fixed seed,
//! so that every run is the same. `make fuzz` starts from the same inputs and is guided by code coverage.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fuzz::{TARGETS, Target};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// Bytes that are inserted into inputs.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\n",
    b"\r",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b";",
    b"=",
    b"\x1f",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x91\xa9\xe2\x80\x8d",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\ud800",
    b"\\u0000",
    b"%00",
    b"..",
    b"/",
    b"2026-11-22T07:00:00Z",
    b"-009999-01-02T01:59:59Z",
    b"{own}",
    b"{elsewhere}",
];

/// Returns the inputs of a target with their paths.
fn inputs(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the target has no folder of inputs")
        .map(|entry| entry.expect("reading the folder failed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no inputs");
    paths
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).expect("reading the input failed");
            (path, bytes)
        })
        .collect()
}

/// Replaces a random range of an input by nothing, a byte, one of the pieces, or a part of another input.
fn damage(input: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let end = rng.random_range(at..=input.len().min(at + 64));
    let piece: Vec<u8> = match rng.random_range(0..4) {
        0 => Vec::new(),
        1 => vec![rng.random()],
        2 => PIECES.choose(rng).expect("no piece").to_vec(),
        _ => {
            let from = rng.random_range(0..=other.len());
            other[from..other.len().min(from + 64)].to_vec()
        }
    };
    input.splice(at..end, piece);
}

/// Asserts that a target does not panic on an input, and prints the input otherwise.
fn assert_no_panic(name: &str, target: Target, input: &[u8], description: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("{name}, {description}: put this into a file of corpus/{name}:\n{}", input.escape_ascii());
    }
}

/// Runs a target on its inputs and on a number of damaged inputs.
fn run_target(name: &str, damaged: usize) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).expect("unknown target").1;
    let inputs = inputs(name);
    for (path, input) in &inputs {
        assert_no_panic(name, target, input, &path.to_string_lossy());
    }
    let mut rng = StdRng::seed_from_u64(1);
    for number in 0..damaged {
        let mut input = inputs.choose(&mut rng).expect("no input").1.clone();
        let other = &inputs.choose(&mut rng).expect("no input").1;
        for _ in 0..rng.random_range(1..=4) {
            damage(&mut input, other, &mut rng);
        }
        assert_no_panic(name, target, &input, &format!("damaged input {number}"));
    }
}

macro_rules! every_target {
    ($($test:ident = $name:literal, $damaged:literal;)*) => {
        $(
            #[test]
            fn $test() {
                run_target($name, $damaged);
            }
        )*

        #[test]
        fn every_target_has_its_test() {
            assert!(TARGETS.iter().map(|(name, _)| *name).eq([$($name),*]));
        }
    };
}

// As many damaged inputs as can be tested in one or two seconds.
every_target! {
    archiver_api = "archiver-api", 300;
    chat_export = "chat-export", 300;
    chat_export_zip = "chat-export-zip", 300;
    eml_drop = "eml-drop", 1_000;
    eml_drop_zip = "eml-drop-zip", 300;
    graph = "graph", 30;
    item = "item", 2_000;
    render = "render", 200;
    task = "task", 2_000;
    user_map = "user-map", 100;
    webhook = "webhook", 500;
}
