//! Fixtures of the one-machine tests: the emulator and the scripted function.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use local::{
    function::FunctionOptions,
    ministack::{Ministack, MinistackOptions},
};

/// Path of the emulator: `MINISTACK`, or where `make` installs it.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
pub(crate) fn ministack_program() -> PathBuf {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack");
    std::env::var("MINISTACK").map_or_else(|_| installed(), PathBuf::from)
}

pub(crate) fn ministack_options(directory: &Path) -> MinistackOptions {
    MinistackOptions {
        program: ministack_program(),
        port: None,
        state: None,
        log: directory.join("logs/ministack.log"),
        variables: Vec::new(),
    }
}

pub(crate) async fn ministack(directory: &Path) -> Ministack {
    Ministack::start(&ministack_options(directory)).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Options of `programs/scripted_function.rs`, which cargo builds next to the tests.
pub(crate) fn function(directory: &Path) -> FunctionOptions {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/scripted-function");
    assert!(program.is_file(), "not built: cargo build -p local --examples");
    FunctionOptions {
        name: "scripted".to_owned(),
        program,
        variables: vec![("GREETING".to_owned(), "good day".to_owned())],
        concurrency: 1,
        timeout: Duration::from_secs(60),
        memory_mb: 128,
        log: directory.join("logs/scripted.log"),
    }
}
