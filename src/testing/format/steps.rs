//! The steps of a turn, and what changes them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::parts::Base64;
use crate::testing;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    Event(Value),
    Text(String),
    Fragmented {
        text: String,
        pieces: usize,
    },
    Split {
        text: String,
        at: Vec<usize>,
    },
    Drip {
        text: String,
        pieces: usize,
        pause_ms: u64,
    },
    Partial {
        text: String,
        bytes: usize,
    },
    Stray(Value),
    Flood {
        text: String,
        times: usize,
    },
    Raw(String),
    RawBase64(Base64),
    Comment(String),
    Binary(Base64),
    Ping(String),
    Pong(String),
    DelayMs(u64),
    Close {
        code: Option<u16>,
        #[serde(default)]
        reason: String,
    },
    End,
    Reset,
    Stall,
    Freeze,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Edit {
    First(Step),
    Then(Step),
    Insert(usize, Step),
    CutAfter(usize, Step),
    CutInside(usize, usize, Step),
    Interleaved,
    WithoutSetup,
    WithoutSequenceNumbers,
    Keepalives(usize),
    EmptyTerminalOutput(NoOutput),
    DrippedMs(u64),
    LargeEvent(usize),
    DoubleTerminal,
    WithoutTerminal,
    StrayAfterTerminal(Value),
    DuplicateCreated,
    ChangingResponseId,
    ChangingItemIds,
    ConstantOutputIndex,
    OutputIndicesFrom(u64),
    SplitItemIds,
    SplitCallIds,
    EmptyItemIds,
    WithoutItemIds,
    Withholding(Withheld),
    SplitSurrogates,
    CreatedTwice,
    Unstored,
    UnknownThings,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Withheld {
    EncryptedContent,
    Content,
    Rest,
    Name,
    Deltas,
    ItemDone,
    Done,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NoOutput {
    Null,
    Empty,
    Missing,
    Partial,
}

impl From<Step> for testing::Step {
    fn from(step: Step) -> Self {
        match step {
            Step::Event(event) => Self::Event(event),
            Step::Text(text) => Self::Text(text),
            Step::Fragmented { text, pieces } => Self::Fragmented { text, pieces },
            Step::Split { text, at } => Self::Split { text, at },
            Step::Drip { text, pieces, pause_ms } => {
                Self::Drip { text, pieces, pause: Duration::from_millis(pause_ms) }
            }
            Step::Partial { text, bytes } => Self::Partial { text, bytes },
            Step::Stray(event) => Self::Stray(event),
            Step::Flood { text, times } => Self::Flood { text, times },
            Step::Raw(text) => Self::Raw(text.into()),
            Step::RawBase64(bytes) => Self::Raw(bytes.0.into()),
            Step::Comment(text) => Self::Comment(text),
            Step::Binary(bytes) => Self::Binary(bytes.0.into()),
            Step::Ping(text) => Self::Ping(text.into()),
            Step::Pong(text) => Self::Pong(text.into()),
            Step::DelayMs(time) => Self::Delay(Duration::from_millis(time)),
            Step::Close { code, reason } => Self::Close { code, reason },
            Step::End => Self::End,
            Step::Reset => Self::Reset,
            Step::Stall => Self::Stall,
            Step::Freeze => Self::Freeze,
        }
    }
}

impl Edit {
    pub(super) fn apply(self, turn: testing::Turn) -> testing::Turn {
        match self {
            Self::First(step) => turn.first(step.into()),
            Self::Then(step) => turn.then(step.into()),
            Self::Insert(at_event, step) => turn.insert(at_event, step.into()),
            Self::CutAfter(events, fault) => turn.cut_after(events, fault.into()),
            Self::CutInside(events, bytes, fault) => turn.cut_inside(events, bytes, fault.into()),
            Self::Interleaved => turn.interleaved(),
            Self::WithoutSetup => turn.without_setup(),
            Self::WithoutSequenceNumbers => turn.without_sequence_numbers(),
            Self::Keepalives(every) => turn.keepalives(every),
            Self::EmptyTerminalOutput(form) => turn.empty_terminal_output(form.into()),
            Self::DrippedMs(pause) => turn.dripped(Duration::from_millis(pause)),
            Self::LargeEvent(bytes) => turn.large_event(bytes),
            Self::DoubleTerminal => turn.double_terminal(),
            Self::WithoutTerminal => turn.without_terminal(),
            Self::StrayAfterTerminal(stray) => turn.stray_after_terminal(stray),
            Self::DuplicateCreated => turn.duplicate_created(),
            Self::ChangingResponseId => turn.changing_response_id(),
            Self::ChangingItemIds => turn.changing_item_ids(),
            Self::ConstantOutputIndex => turn.constant_output_index(),
            Self::OutputIndicesFrom(first) => turn.output_indices_from(first),
            Self::SplitItemIds => turn.split_item_ids(),
            Self::SplitCallIds => turn.split_call_ids(),
            Self::EmptyItemIds => turn.empty_item_ids(),
            Self::WithoutItemIds => turn.without_item_ids(),
            Self::Withholding(what) => turn.withholding(what.into()),
            Self::SplitSurrogates => turn.split_surrogates(),
            Self::CreatedTwice => turn.created_twice(),
            Self::Unstored => turn.unstored(),
            Self::UnknownThings => turn.unknown_things(),
        }
    }
}

impl From<Withheld> for testing::Withheld {
    fn from(what: Withheld) -> Self {
        match what {
            Withheld::EncryptedContent => Self::EncryptedContent,
            Withheld::Content => Self::Content,
            Withheld::Rest => Self::Rest,
            Withheld::Name => Self::Name,
            Withheld::Deltas => Self::Deltas,
            Withheld::ItemDone => Self::ItemDone,
            Withheld::Done => Self::Done,
        }
    }
}

impl From<NoOutput> for testing::NoOutput {
    fn from(form: NoOutput) -> Self {
        match form {
            NoOutput::Null => Self::Null,
            NoOutput::Empty => Self::Empty,
            NoOutput::Missing => Self::Missing,
            NoOutput::Partial => Self::Partial,
        }
    }
}
