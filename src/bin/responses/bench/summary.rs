//! Summary of a run, as its last line of JSON has it.

use std::{collections::BTreeMap, fmt, marker::PhantomData, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    sample::{FailedTurn, ModeRun, Sample},
    self_check::Check,
    stats::{CONFIDENCE, Interval, Percentiles, median},
};

/// Summary of a run. All times are milliseconds with three decimals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub settings: serde_json::Value,
    pub self_check: serde_json::Value,
    /// Figures by label of the mode.
    pub modes: Ordered<ModeSummary>,
    /// Differences of each other mode from the first. Empty if there are too few pairs of turns.
    pub differences: Vec<Difference>,
    pub sweep: Option<Sweep>,
    /// The failed turn that ended the run early: the figures are those of the turns before.
    pub error: Option<FailedTurn>,
    /// Version of the tool.
    pub version: String,
}

/// Figures of a mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ModeSummary {
    /// Number of measured turns in all rounds.
    pub turns: usize,
    /// Times of the turns that connected, if any did.
    pub connect_ms: Option<Percentiles>,
    pub first_event_ms: Option<Percentiles>,
    /// Times of the turns with text, if any had text.
    pub first_text_ms: Option<Percentiles>,
    pub turn_ms: Option<Percentiles>,
    /// Times of the first turns of the conversations, which connect.
    pub first_turn_ms: Option<Percentiles>,
    /// Times of all other turns.
    pub later_turns_ms: Option<Percentiles>,
    /// Bytes sent in one conversation, as the mean of the rounds with all turns.
    pub bytes_up: u64,
    /// Bytes received in one conversation, as the mean of the rounds with all turns.
    pub bytes_down: u64,
    /// CPU time of the client for one turn, if measured.
    pub cpu_ms: Option<f64>,
    pub by_turn: Vec<TurnSummary>,
    #[serde(default)]
    pub by_round: Vec<RoundSummary>,
}

/// Figures of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RoundSummary {
    pub round: usize,
    /// Number of measured turns.
    pub turns: usize,
    /// Mean of the turns.
    pub first_event_ms: f64,
    /// Mean of the turns with text, if any had text.
    pub first_text_ms: Option<f64>,
    /// Mean of the turns.
    pub turn_ms: f64,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

/// Figures of the turns that have the same number in their conversations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TurnSummary {
    pub turn: usize,
    /// Median of the rounds.
    pub first_event_ms: f64,
    /// Median of the rounds.
    pub turn_ms: f64,
    /// Mean of the rounds.
    pub bytes_up: u64,
    /// Time of the conversation up to the end of this turn, as the median of the rounds.
    pub cumulative_ms: f64,
    /// Bytes sent up to the end of this turn, as the mean of the rounds.
    pub cumulative_bytes_up: u64,
}

/// Time that two modes are compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Figure {
    #[serde(rename = "first_event_ms")]
    FirstEvent,
    #[serde(rename = "first_text_ms")]
    FirstText,
    #[serde(rename = "turn_ms")]
    Turn,
}

impl Figure {
    const ALL: [Self; 3] = [Self::FirstEvent, Self::FirstText, Self::Turn];

    fn of(self, sample: &Sample) -> Option<Duration> {
        match self {
            Self::FirstEvent => Some(sample.first_event),
            Self::FirstText => sample.first_text,
            Self::Turn => Some(sample.total),
        }
    }
}

/// Unit of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ComparisonUnit {
    /// Each pair of turns: right only where no segment is lost.
    Turn,
    /// The mean of the pairs of a conversation.
    Conversation,
}

/// Least number of conversations that can be compared as a whole.
const LEAST_ROUNDS: usize = 3;

/// Mean difference of the turns of two modes, paired by round and turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub figure: Figure,
    pub mode: String,
    pub than: String,
    /// Positive if `mode` takes longer than `than`.
    pub mean_ms: f64,
    /// Lower end of the confidence interval.
    pub low_ms: f64,
    /// Upper end of the confidence interval.
    pub high_ms: f64,
    pub confidence: f64,
    /// Unit that the interval treats as independent.
    pub unit: ComparisonUnit,
    /// `true` if the interval excludes zero.
    pub shown: bool,
}

/// First-event times while one property of the link varies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// Name of the property with its unit, such as `rtt_ms`.
    pub variable: String,
    pub points: Vec<SweepPoint>,
}

/// Measurement at one value of the property that varies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SweepPoint {
    pub value: f64,
    /// Median by label of the mode.
    pub first_event_ms: Ordered<f64>,
    /// Checks of the network at this value.
    #[serde(default)]
    pub self_check: Vec<Check>,
}

impl Summary {
    /// Returns the summary of `runs`, which are in the order of their columns. The other modes are
    /// compared with the first.
    pub(crate) fn new(
        settings: serde_json::Value,
        self_check: serde_json::Value,
        runs: &[ModeRun],
        sweep: Option<Sweep>,
    ) -> Self {
        Self {
            settings,
            self_check,
            modes: runs.iter().map(|it| (it.label.clone(), ModeSummary::new(it))).collect(),
            differences: differences(runs),
            sweep,
            error: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl ModeSummary {
    fn new(run: &ModeRun) -> Self {
        let samples = &run.samples;
        let percentiles = |time: fn(&Sample) -> Option<Duration>| {
            let times = samples.iter().filter_map(time).map(in_ms);
            Percentiles::of(times).map(|it| it.map(rounded))
        };
        let by_round = by_round(samples);
        let mean_bytes = |bytes: fn(&RoundSummary) -> u64| {
            mean_of_sum(whole(&by_round).map(bytes), whole(&by_round).count())
        };
        Self {
            turns: samples.len(),
            connect_ms: percentiles(|it| it.connect),
            first_event_ms: percentiles(|it| Some(it.first_event)),
            first_text_ms: percentiles(|it| it.first_text),
            turn_ms: percentiles(|it| Some(it.total)),
            first_turn_ms: percentiles(|it| (it.turn == 1).then_some(it.total)),
            later_turns_ms: percentiles(|it| (it.turn > 1).then_some(it.total)),
            bytes_up: mean_bytes(|it| it.bytes_up),
            bytes_down: mean_bytes(|it| it.bytes_down),
            cpu_ms: run
                .cpu
                .filter(|_| run.cpu_turns > 0)
                .map(|it| rounded(in_ms(it) / run.cpu_turns as f64)),
            by_turn: by_turn(samples),
            by_round,
        }
    }

    /// Returns the conversations with all turns.
    pub(crate) fn whole_rounds(&self) -> impl Iterator<Item = &RoundSummary> {
        whole(&self.by_round)
    }

    /// Returns `bytes` of a conversation; `None` without any turn.
    pub(crate) fn per_conversation(&self, bytes: u64) -> Option<f64> {
        (self.turns > 0).then_some(bytes as f64)
    }

    /// Returns the median time of a whole conversation.
    pub(crate) fn conversation_ms(&self) -> Option<f64> {
        self.by_turn.last().map(|it| it.cumulative_ms)
    }
}

/// Returns the conversations with the most turns: the last one of a run that ended early has less.
fn whole(rounds: &[RoundSummary]) -> impl Iterator<Item = &RoundSummary> {
    let most = rounds.iter().map(|it| it.turns).max().unwrap_or_default();
    rounds.iter().filter(move |it| it.turns == most)
}

fn by_round(samples: &[Sample]) -> Vec<RoundSummary> {
    let mut by_round = BTreeMap::<usize, Vec<&Sample>>::new();
    for sample in samples {
        by_round.entry(sample.round).or_default().push(sample);
    }
    let summarized = by_round.into_iter().filter_map(|(round, samples)| {
        let mean_of = |time: fn(&Sample) -> Option<Duration>| {
            let times = samples.iter().copied().filter_map(time).map(in_ms);
            Percentiles::of(times).map(|it| rounded(it.mean))
        };
        Some(RoundSummary {
            round,
            turns: samples.len(),
            first_event_ms: mean_of(|it| Some(it.first_event))?,
            first_text_ms: mean_of(|it| it.first_text),
            turn_ms: mean_of(|it| Some(it.total))?,
            bytes_up: samples.iter().map(|it| it.bytes_up).sum(),
            bytes_down: samples.iter().map(|it| it.bytes_down).sum(),
        })
    });
    summarized.collect()
}

fn by_turn(samples: &[Sample]) -> Vec<TurnSummary> {
    let mut by_turn = BTreeMap::<usize, Vec<&Sample>>::new();
    for sample in samples {
        by_turn.entry(sample.turn).or_default().push(sample);
    }
    // Time and bytes of each round up to the turn.
    let mut so_far = BTreeMap::<usize, (Duration, u64)>::new();
    let summarized = by_turn.into_iter().filter_map(|(turn, samples)| {
        let median_of = |time: fn(&Sample) -> Duration| {
            median(samples.iter().map(|it| in_ms(time(it)))).map(rounded)
        };
        // A run that ended early has turns that not all of its rounds have.
        let reached = samples.iter().map(|sample| {
            let (time, bytes) = so_far.entry(sample.round).or_default();
            (*time, *bytes) = (*time + sample.total, *bytes + sample.bytes_up);
            (*time, *bytes)
        });
        let (times, bytes): (Vec<_>, Vec<_>) = reached.unzip();
        Some(TurnSummary {
            turn,
            first_event_ms: median_of(|it| it.first_event)?,
            turn_ms: median_of(|it| it.total)?,
            bytes_up: mean_of_sum(samples.iter().map(|it| it.bytes_up), samples.len()),
            cumulative_ms: rounded(median(times.into_iter().map(in_ms))?),
            cumulative_bytes_up: mean_of_sum(bytes, samples.len()),
        })
    });
    summarized.collect()
}

fn differences(runs: &[ModeRun]) -> Vec<Difference> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let pairs = others.iter().flat_map(|other| Figure::ALL.map(|figure| (other, figure)));
    pairs.filter_map(|(other, figure)| difference(figure, other, first)).collect()
}

fn difference(figure: Figure, mode: &ModeRun, than: &ModeRun) -> Option<Difference> {
    let times = |run: &ModeRun| -> BTreeMap<(usize, usize), i128> {
        let times = run.samples.iter().filter_map(|it| Some((it, figure.of(it)?)));
        times.map(|(it, time)| ((it.round, it.turn), time.as_nanos() as i128)).collect()
    };
    let (times, than_times) = (times(mode), times(than));
    // Whole nanoseconds: equal differences must stay equal.
    let mut by_round = BTreeMap::<usize, Vec<i128>>::new();
    for (place, time) in &times {
        if let Some(than_time) = than_times.get(place) {
            by_round.entry(place.0).or_default().push(time - than_time);
        }
    }
    // The turns of a conversation share their connection, and a loss in one changes the later ones.
    let unit = if by_round.len() >= LEAST_ROUNDS {
        ComparisonUnit::Conversation
    } else {
        ComparisonUnit::Turn
    };
    let differences: Vec<f64> = match unit {
        ComparisonUnit::Turn => {
            by_round.into_values().flatten().map(|it| it as f64 / 1e6).collect()
        }
        ComparisonUnit::Conversation => by_round
            .into_values()
            .map(|it| it.iter().sum::<i128>() as f64 / it.len() as f64 / 1e6)
            .collect(),
    };
    let Interval { mean, low, high } = Interval::of_mean(&differences)?;
    let (low_ms, high_ms) = (rounded(low), rounded(high));
    Some(Difference {
        figure,
        mode: mode.label.clone(),
        than: than.label.clone(),
        mean_ms: rounded(mean),
        low_ms,
        high_ms,
        confidence: CONFIDENCE,
        unit,
        shown: low_ms > 0.0 || high_ms < 0.0,
    })
}

/// Returns the milliseconds of `time`, not rounded.
pub(crate) fn in_ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// Returns `ms` with three decimals, and no negative zero.
fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0 + 0.0
}

/// Returns the sum of `values` divided by `count`, rounded.
fn mean_of_sum(values: impl IntoIterator<Item = u64>, count: usize) -> u64 {
    let (sum, count) = (values.into_iter().sum::<u64>(), count as u64);
    (sum + count / 2).checked_div(count).unwrap_or_default()
}

/// Map of strings that keeps the order of its entries, also in JSON.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ordered<T>(Vec<(String, T)>);

impl<T> Ordered<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.iter().find_map(|(it, value)| (it == name).then_some(value))
    }
}

impl<T> FromIterator<(String, T)> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

struct OrderedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for OrderedVisitor<T> {
    type Value = Ordered<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Ordered(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::sample::Mode, *};

    const MS: Duration = Duration::from_millis(1);

    fn sample(round: usize, turn: usize, first_event: u32, total: u32, bytes_up: u64) -> Sample {
        Sample {
            round,
            turn,
            connect: (turn == 1).then_some(MS * 2),
            first_event: MS * first_event,
            first_text: (turn == 1).then_some(MS * first_event + MS / 8),
            total: MS * total,
            bytes_up,
            bytes_down: 10,
        }
    }

    fn run(mode: Mode, label: &str, samples: Vec<Sample>) -> ModeRun {
        ModeRun { mode, label: label.to_owned(), samples, cpu: None, cpu_turns: 0 }
    }

    /// Two rounds of two turns of two modes. The second mode takes 5 ms longer.
    fn runs() -> Vec<ModeRun> {
        let samples = |extra: u32| {
            vec![
                sample(1, 1, 10 + extra, 20 + extra, 100),
                sample(1, 2, 11 + extra, 31 + extra, 301),
                sample(2, 1, 12 + extra, 22 + extra, 100),
                sample(2, 2, 13 + extra, 33 + extra, 300),
            ]
        };
        let mut first = run(Mode::WebsocketFull, "websocket_full", samples(0));
        (first.cpu, first.cpu_turns) = (Some(MS * 2), 3);
        vec![first, run(Mode::SseKeepAlive, "sse_keep_alive", samples(5))]
    }

    fn summary_of(runs: &[ModeRun]) -> Value {
        let summary = Summary::new(json!({"turns": 2}), json!(null), runs, None);
        serde_json::to_value(&summary).unwrap()
    }

    #[test]
    fn figures_are_by_mode_and_by_turn() {
        let mode = &summary_of(&runs())["modes"]["websocket_full"];
        let times =
            |p50, p90, mean| json!({"p50": p50, "p90": p90, "p99": p90, "max": p90, "mean": mean});
        assert_eq!(mode["connect_ms"], times(2.0, 2.0, 2.0));
        assert_eq!(mode["first_event_ms"], times(11.0, 13.0, 11.5));
        assert_eq!(mode["first_text_ms"], times(10.125, 12.125, 11.125));
        assert_eq!(mode["turn_ms"], times(22.0, 33.0, 26.5));
        assert_eq!(mode["first_turn_ms"], times(20.0, 22.0, 21.0));
        assert_eq!(mode["later_turns_ms"], times(31.0, 33.0, 32.0));
        assert_eq!(
            mode["by_round"],
            json!([
                {"round": 1, "turns": 2, "first_event_ms": 10.5, "first_text_ms": 10.125,
                 "turn_ms": 25.5, "bytes_up": 401, "bytes_down": 20},
                {"round": 2, "turns": 2, "first_event_ms": 12.5, "first_text_ms": 12.125,
                 "turn_ms": 27.5, "bytes_up": 400, "bytes_down": 20},
            ])
        );
        assert_eq!((&mode["turns"], &mode["cpu_ms"]), (&json!(4), &json!(0.667)));
        assert_eq!((&mode["bytes_up"], &mode["bytes_down"]), (&json!(401), &json!(20)));
        assert_eq!(
            mode["by_turn"],
            json!([
                {"turn": 1, "first_event_ms": 10.0, "turn_ms": 20.0, "bytes_up": 100,
                 "cumulative_ms": 20.0, "cumulative_bytes_up": 100},
                {"turn": 2, "first_event_ms": 11.0, "turn_ms": 31.0, "bytes_up": 301,
                 "cumulative_ms": 51.0, "cumulative_bytes_up": 401},
            ])
        );
    }

    #[test]
    fn a_conversation_that_ended_early_is_no_whole_one() {
        let [mut run, _] = <[_; 2]>::try_from(runs()).unwrap();
        run.samples.pop();
        let mode = &summary_of(&[run])["modes"]["websocket_full"];
        assert_eq!(
            (&mode["turns"], &mode["bytes_up"], &mode["bytes_down"]),
            (&json!(3), &json!(401), &json!(20))
        );
        let last = &mode["by_turn"][1];
        assert_eq!(
            (&last["cumulative_ms"], &last["cumulative_bytes_up"]),
            (&json!(51.0), &json!(401))
        );
        assert_eq!(mode["by_turn"][0]["cumulative_bytes_up"], 100);
    }

    #[test]
    fn other_modes_are_compared_with_the_first() {
        let summary = summary_of(&runs());
        let difference = |figure: &str, ms: f64, shown: bool| {
            json!({"figure": figure, "mode": "sse_keep_alive", "than": "websocket_full",
                   "mean_ms": ms, "low_ms": ms, "high_ms": ms, "confidence": 0.99, "unit": "turn", "shown": shown})
        };
        // Only two turns have text, which are too few.
        let expected = [difference("first_event_ms", 5.0, true), difference("turn_ms", 5.0, true)];
        assert_eq!(summary["differences"], json!(expected));

        let [first, _] = <[_; 2]>::try_from(runs()).unwrap();
        let second = ModeRun { label: "sse_keep_alive".to_owned(), ..first.clone() };
        let summary = summary_of(&[first, second]);
        assert_eq!(summary["differences"][0], difference("first_event_ms", 0.0, false));
    }

    #[test]
    fn turns_are_paired_by_round_and_number() {
        let [mut first, mut second] = <[_; 2]>::try_from(runs()).unwrap();
        second.samples.reverse();
        first.samples.remove(1);
        second.samples.push(sample(3, 1, 500, 500, 0));
        let summary = summary_of(&[first, second]);
        assert_eq!(summary["differences"][1]["low_ms"], 5.0);
        assert_eq!(summary["differences"][1]["high_ms"], 5.0);
    }

    #[test]
    fn a_mode_without_samples_has_no_times() {
        let summary = summary_of(&[run(Mode::WebsocketFull, "websocket_full", Vec::new())]);
        let mode = &summary["modes"]["websocket_full"];
        assert_eq!((&mode["turn_ms"], &mode["bytes_up"]), (&Value::Null, &json!(0)));
    }

    #[test]
    fn json_keeps_the_order_of_the_modes_and_is_read_back() {
        let points = vec![SweepPoint {
            value: 25.0,
            first_event_ms: [("websocket_full".to_owned(), 27.0)].into_iter().collect(),
            self_check: Vec::new(),
        }];
        let sweep = Sweep { variable: "rtt_ms".to_owned(), points };
        let text = serde_json::to_string(&Summary::new(
            json!({}),
            json!({"ok": true}),
            &runs(),
            Some(sweep),
        ))
        .unwrap();
        assert!(text.find("\"websocket_full\":{").unwrap() < text.find("\"sse_keep_").unwrap());
        let back: Summary = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert!(text.contains(
            r#""sweep":{"variable":"rtt_ms","points":[{"value":25.0,"first_event_ms":{"websocket_full":27.0},"self_check":[]}]}"#
        ));
    }
}
