//! Entry point for libFuzzer, which `make fuzz` builds. The variable `FUZZ_TARGET` names the target.

#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use runtime::Variables;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> Target {
    let name: String =
        Variables::read(&["FUZZ_TARGET"]).required("FUZZ_TARGET", "a target").expect("FUZZ_TARGET is not set");
    fuzz::TARGETS.iter().find(|(known, _)| *known == name).expect("unknown target").1
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.get_or_init(target)(input));
