//! Measurement of implementations in turns.

use std::time::Duration;

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};

use crate::corpus::Lot;

/// The work on an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// From the source's response to a message and a task.
    Convert,
    /// From a message to a request to the mail system.
    Import,
}

impl Work {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Import => "import",
        }
    }
}

/// A measured implementation.
pub trait Implementation {
    /// The name in tables.
    fn name(&self) -> &'static str;

    /// Does the work on each item of a lot `times` times, and returns the processor time.
    ///
    /// # Errors
    /// The work cannot be done.
    fn run(&mut self, work: Work, lot: &Lot, times: u32) -> anyhow::Result<Duration>;
}

/// The processor time that this thread has used. Unlike wall-clock time it does not grow while another process uses
/// the processor.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time of one implementation, round by round.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name of the implementation.
    pub name: &'static str,
    /// Seconds for the whole lot once; one entry a round.
    pub seconds: Vec<f64>,
}

/// The distribution of a figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// A quarter of the rounds is below.
    pub low: f64,
    /// Half of the rounds is below.
    pub median: f64,
    /// A quarter of the rounds is above.
    pub high: f64,
}

impl Spread {
    /// Computes the distribution of figures; all zero if there are none.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |share: usize| figures.get((figures.len().saturating_sub(1)) * share / 4).copied().unwrap_or_default();
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

impl Series {
    /// The distribution of its seconds.
    pub fn spread(&self) -> Spread {
        Spread::of(self.seconds.clone())
    }

    /// The ratio to the time of `other`, compared round by round.
    pub fn over(&self, other: &Self) -> Spread {
        Spread::of(self.seconds.iter().zip(&other.seconds).map(|(one, other)| one / other).collect())
    }
}

/// Lets all implementations work in turns. A turn takes about `turn`, or one lot if that is longer; the first implementation
/// changes from round to round.
///
/// # Errors
/// An implementation fails.
pub fn interleave(
    implementations: &mut [Box<dyn Implementation>],
    (work, lot): (Work, &Lot),
    rounds: usize,
    turn: Duration,
) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::with_capacity(implementations.len());
    let mut times = Vec::with_capacity(implementations.len());
    for implementation in &mut *implementations {
        // The first lot warms up, the second one determines the number of lots in a turn.
        implementation.run(work, lot, 1)?;
        let once = implementation.run(work, lot, 1)?.max(Duration::from_nanos(1));
        times.push(u32::try_from((turn.as_nanos() / once.as_nanos()).clamp(1, 1_000_000)).unwrap_or(1));
        all.push(Series { name: implementation.name(), seconds: Vec::with_capacity(rounds) });
    }
    for round in 0..rounds {
        for place in 0..implementations.len() {
            let whose = (round + place) % implementations.len();
            let took = implementations[whose].run(work, lot, times[whose])?;
            all[whose].seconds.push(took.as_secs_f64() / f64::from(times[whose]));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_computed_per_round() {
        let slow = Series { name: "slow", seconds: vec![4.0, 40.0, 6.0] };
        let fast = Series { name: "fast", seconds: vec![2.0, 20.0, 2.0] };
        assert_eq!(slow.over(&fast), Spread { low: 2.0, median: 2.0, high: 2.0 });
        assert_eq!(slow.spread().median, 6.0);
        assert_eq!(Spread::of(Vec::new()), Spread { low: 0.0, median: 0.0, high: 0.0 });
    }
}
