//! What a caller says to a running response: steers and stops.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use responses_client::{
    InputErrorKind, Item, ResponseStream, SteerHandle, SteerState, Transport, report::TurnReport,
};
use serde_json::Value;

use super::values::{STEER, value};

/// What a caller will say to the responses of a turn.
#[derive(Default)]
pub(crate) struct Messages {
    planned: VecDeque<Planned>,
    /// The server takes steers.
    steers: bool,
    /// The server takes interrupts.
    interrupts: bool,
    /// The caller stays until all is said.
    pub(crate) is_promised: bool,
}

struct Planned {
    /// It is said after so many events.
    after: usize,
    /// It is said earlier if for so long no event comes.
    patience: Duration,
    what: What,
}

enum What {
    Steer {
        items: usize,
    },
    /// Input that no running response takes.
    Invalid,
    Stop,
}

/// What a caller has said to the responses of a turn, and what it heard of that.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) steers: Vec<Said>,
    pub(crate) stops: u32,
    /// How often nothing was sent, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) violation: Option<String>,
    /// Ids and token counts of the responses in the report of the turn.
    pub(crate) responses: Vec<(String, Option<u64>)>,
}

/// A steer, and what the caller heard of it.
pub(crate) struct Said {
    pub(crate) key: String,
    pub(crate) input: Vec<Value>,
    /// The response that ran.
    pub(crate) target: String,
    pub(crate) handle: SteerHandle,
}

/// A steer that the next turn of its session carries.
pub(crate) struct Carried {
    pub(crate) said: Said,
    /// The next turn's request has its input.
    pub(crate) is_kept: bool,
}

impl Told {
    pub(crate) fn is_empty(&self) -> bool {
        self.steers.is_empty() && self.stops == 0
    }

    /// Takes what the report says of the responses.
    pub(crate) fn report(&mut self, report: &TurnReport) {
        let tokens =
            |it: &responses_client::report::SteeredResponse| it.usage.map(|it| it.total_tokens);
        self.responses =
            report.responses.iter().map(|it| (it.response_id.clone(), tokens(it))).collect();
    }

    /// Takes the steers that the next turn carries.
    pub(crate) fn take_pending(&mut self) -> Vec<Said> {
        let is_pending =
            |said: &mut Said| matches!(said.handle.state(), SteerState::Pending { .. });
        self.steers.extract_if(.., is_pending).collect()
    }

    /// Takes the input of the steers that failed.
    pub(crate) fn failed_input(&self) -> Vec<Item> {
        let failed = self.steers.iter().filter_map(|said| match said.handle.state() {
            SteerState::Failed { input, .. } => Some(input),
            _ => None,
        });
        failed.flat_map(|input| input.iter().cloned().collect::<Vec<_>>()).collect()
    }
}

impl Messages {
    /// What is said in a turn.
    pub(crate) fn plan(rng: &mut Rng, steers: bool, interrupts: bool) -> Self {
        let mut planned = VecDeque::new();
        if rng.u8(..3) > 0 {
            return Self { planned, steers, interrupts, is_promised: false };
        }
        for _ in 0..rng.usize(1..4) {
            let what = match rng.u8(..16) {
                0 => What::Invalid,
                1 | 2 => What::Stop,
                _ => What::Steer { items: rng.usize(1..3) },
            };
            let after = if rng.bool() { rng.usize(..4) } else { rng.usize(..25) };
            let patience = Duration::from_millis(rng.u64(1..300));
            planned.push_back(Planned { after, patience, what });
        }
        Self { planned, steers, interrupts, is_promised: false }
    }

    /// Tells the server what it may wait for: the steers before a stop, and the stop.
    pub(crate) fn promise(&self, metadata: &mut Value) {
        if !self.is_promised {
            return;
        }
        let until_stop = self.planned.iter().take_while(|it| !matches!(it.what, What::Stop));
        let steers = until_stop.filter(|it| matches!(it.what, What::Steer { .. })).count();
        if self.steers && steers > 0 {
            metadata["steers"] = steers.to_string().into();
        }
        if self.interrupts && self.planned.iter().any(|it| matches!(it.what, What::Stop)) {
            metadata["interrupt"] = "yes".into();
        }
    }

    /// How long the next message waits for another event; `None` if nothing is left to say.
    pub(crate) fn patience(&self, events: usize) -> Option<Duration> {
        let next = self.planned.front()?;
        Some(if events >= next.after { Duration::ZERO } else { next.patience })
    }

    /// Says what is next.
    pub(crate) fn say(&mut self, number: u64, stream: &mut ResponseStream, told: &mut Told) {
        let Some(Planned { what, .. }) = self.planned.pop_front() else { return };
        let over_sse = stream.report().transport == Some(Transport::Sse);
        let can_steer = self.steers && !over_sse;
        let (input, is_valid) = match what {
            What::Stop => {
                told.stops += 1;
                return stream.stop();
            }
            What::Invalid => (vec![Item::system("steer")], false),
            What::Steer { items } => {
                let key = format!("{STEER}{number}.{}", told.steers.len());
                let input = (0..items).map(|nth| Item::user(format!("{key} {nth}")));
                (input.collect(), true)
            }
        };
        let target = stream.response().id().to_owned();
        let values: Vec<Value> = input.iter().map(value).collect();
        match stream.steer(input.clone()) {
            Ok(handle) => {
                if !is_valid || !can_steer {
                    told.violation = Some("it was steered where that is impossible".to_owned());
                }
                let key = format!("{number}.{}", told.steers.len());
                told.steers.push(Said { key, input: values, target, handle });
            }
            Err(refused) => {
                let kind = refused.kind();
                let is_right = match kind {
                    InputErrorKind::Unsupported => !can_steer,
                    InputErrorKind::NotRunning => can_steer,
                    InputErrorKind::InvalidInput => can_steer && !is_valid,
                    _ => false,
                };
                let back: Vec<Value> = refused.into_input().iter().map(value).collect();
                if !is_right || back != values {
                    told.violation = Some(format!("a steer was refused: {kind}, {back:?}"));
                }
                *told.refused.entry(kind.as_str()).or_default() += 1;
            }
        }
    }
}
