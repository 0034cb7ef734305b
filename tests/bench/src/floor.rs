//! Lower bound of the work: the bytes are hashed and encoded, and nothing else is done, with the libraries that the
//! system has: ring hashes and encodify encodes.

use std::{hint::black_box, time::Duration};

use encodify::base64::STANDARD;
use ring::digest::{SHA256, digest};

use crate::{
    corpus::{Lot, Sample},
    measure::{Implementation, Work, cpu_time},
};

/// The work of the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The input is hashed once and encoded once.
    OneHash,
    /// The output is hashed, too: the contract requires the digests of the attachments and of the whole message.
    TwoHashes,
}

impl Floor {
    fn sample(self, work: Work, sample: &Sample, space: &mut Vec<u8>) -> anyhow::Result<()> {
        match work {
            Work::Convert => {
                for bytes in sample.files.iter().chain([&sample.json]) {
                    black_box(digest(&SHA256, bytes));
                    let length = encode(bytes, space)?;
                    if self == Self::TwoHashes {
                        black_box(digest(&SHA256, &space[..length]));
                    }
                }
            }
            Work::Import => {
                black_box(digest(&SHA256, &sample.mime));
                for bytes in sample.files.iter().chain([&sample.json]) {
                    black_box(encode(bytes, space)?);
                }
            }
        }
        Ok(())
    }
}

/// Encodes into existing memory and returns the length.
fn encode(bytes: &[u8], space: &mut Vec<u8>) -> anyhow::Result<usize> {
    let longest = bytes.len().div_ceil(3) * 4;
    if space.len() < longest {
        space.resize(longest, 0);
    }
    Ok(black_box(STANDARD.encode_slice(bytes, space)?))
}

impl Implementation for Floor {
    fn name(&self) -> &'static str {
        match self {
            Self::OneHash => "floor",
            Self::TwoHashes => "floor, two hashes",
        }
    }

    fn run(&mut self, work: Work, lot: &Lot, times: u32) -> anyhow::Result<Duration> {
        let mut space = Vec::new();
        // The memory is allocated before the clock starts.
        for sample in &lot.samples {
            self.sample(work, sample, &mut space)?;
        }
        let begun = cpu_time();
        for _ in 0..times {
            for sample in &lot.samples {
                self.sample(work, sample, &mut space)?;
            }
        }
        Ok(cpu_time().saturating_sub(begun))
    }
}
