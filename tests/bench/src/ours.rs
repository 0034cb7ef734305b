//! The system as an implementation.

use std::{hint::black_box, time::Duration};

use crate::{
    corpus::{Lot, Sample},
    item_work::{convert, import},
    measure::{Implementation, Work, cpu_time},
};

/// Does one item's work. The compiler must treat the result as used.
///
/// # Errors
/// The errors of [`convert()`] and [`import()`].
pub fn work(work: Work, sample: &Sample) -> anyhow::Result<()> {
    match work {
        Work::Convert => {
            black_box(convert(&sample.convert_task, &sample.json, &sample.files)?);
        }
        Work::Import => {
            black_box(import(&sample.import_task, &sample.mime)?);
        }
    }
    Ok(())
}

pub struct Ours;

impl Implementation for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn run(&mut self, what: Work, lot: &Lot, times: u32) -> anyhow::Result<Duration> {
        let begun = cpu_time();
        for _ in 0..times {
            for sample in &lot.samples {
                work(what, sample)?;
            }
        }
        Ok(cpu_time().saturating_sub(begun))
    }
}
