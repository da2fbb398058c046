//! Two candidates in turns, and what comes of it.

use std::time::{Duration, Instant};

use serde_json::json;

/// Two candidates, and what their ratio shall be.
pub(crate) struct Comparison {
    pub(crate) ours: Candidate,
    pub(crate) theirs: Candidate,
    /// Of what stands at the candidates.
    pub(crate) unit: &'static str,
    pub(crate) ratio: f64,
    pub(crate) goal: Goal,
}

/// One side of a comparison.
pub(crate) struct Candidate {
    pub(crate) label: &'static str,
    /// The shortest time for one of what is measured, or its size.
    pub(crate) value: f64,
}

/// What a ratio shall be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// The shortest time of each candidate.
pub(crate) struct Shortest {
    ours: Duration,
    theirs: Duration,
}

/// Runs both candidates in turns, after a round that does not count. Each says what it took.
///
/// Whatever else runs on the machine only ever adds time, so that the shortest one is the closest
/// to the truth: as long as one run takes far less than the scheduler lets it go on for (a few
/// milliseconds), some of them are not interrupted. Who goes first changes from round to round.
/// Medians will not do: on a busy machine one side can be interrupted in nearly all of its runs
/// and the other in none.
pub(crate) fn alternate(
    rounds: usize,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> Shortest {
    ours();
    theirs();
    let mut shortest = Shortest { ours: Duration::MAX, theirs: Duration::MAX };
    for round in 0..rounds {
        if round % 2 == 0 {
            shortest.ours = shortest.ours.min(ours());
        }
        shortest.theirs = shortest.theirs.min(theirs());
        if round % 2 == 1 {
            shortest.ours = shortest.ours.min(ours());
        }
    }
    shortest
}

/// How long `work` takes.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

impl Shortest {
    /// Ours, in nanoseconds for each of `count`.
    pub(crate) fn ours(&self, count: usize) -> f64 {
        nanoseconds(self.ours, count)
    }

    /// The same of theirs.
    pub(crate) fn theirs(&self, count: usize) -> f64 {
        nanoseconds(self.theirs, count)
    }

    pub(crate) fn theirs_to_ours(&self) -> f64 {
        self.theirs.div_duration_f64(self.ours)
    }

    pub(crate) fn ours_to_theirs(&self) -> f64 {
        self.ours.div_duration_f64(self.theirs)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of events are small")]
pub(crate) fn nanoseconds(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count as f64
}

pub(crate) const HEAD: &str = "comparison                           ratio      goal  met";

impl Comparison {
    pub(crate) fn met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.ratio >= goal,
            Goal::AtMost(goal) => self.ratio <= goal,
        }
    }

    pub(crate) fn row(&self, name: &str) -> String {
        let Self { ours, theirs, unit, ratio, goal } = self;
        let goal = match goal {
            Goal::AtLeast(goal) => format!(">= {goal}"),
            Goal::AtMost(goal) => format!("<= {goal}"),
        };
        let met = if self.met() { "yes" } else { "NO" };
        format!(
            "{name:<32} {ratio:>9.2} {goal:>9}  {met:<3}  {}: {:.0} {unit}, {}: {:.0} {unit}",
            ours.label, ours.value, theirs.label, theirs.value
        )
    }

    pub(crate) fn json(&self, name: &str) -> String {
        let Self { ours, theirs, unit, ratio, goal } = self;
        let (bound, goal) = match goal {
            Goal::AtLeast(goal) => ("at_least", goal),
            Goal::AtMost(goal) => ("at_most", goal),
        };
        let object = json!({
            "bench": name,
            "ratio": ratio,
            "ours": ours.label,
            (format!("ours_{unit}")): ours.value,
            "theirs": theirs.label,
            (format!("theirs_{unit}")): theirs.value,
            "goal": goal,
            "bound": bound,
            "met": self.met(),
        });
        object.to_string()
    }
}
