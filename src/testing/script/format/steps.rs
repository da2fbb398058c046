//! Steps and edits of a turn in a script file.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::parts::Base64;
use crate::testing::script::{
    step::Step,
    turn::{Turn, habits::Withheld, shapes::NoOutput},
};

#[derive(Deserialize)]
#[serde(rename = "Step", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum StepForm {
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
    Deflated(Base64),
    Ping(String),
    Pong(String),
    DelayMs(u64),
    AwaitSteer,
    AwaitInject,
    AwaitInterrupt,
    Expire,
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
#[serde(rename = "Edit", rename_all = "snake_case")]
pub(super) enum EditForm {
    First(StepForm),
    Then(StepForm),
    Insert(usize, StepForm),
    CutAfter(usize, StepForm),
    CutInside(usize, usize, StepForm),
    Interleaved,
    WithoutSetup,
    WithoutStreamId,
    Tail(usize),
    WithoutSequenceNumbers,
    Keepalives(usize),
    EmptyTerminalOutput(NoOutputForm),
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
    Withholding(WithheldForm),
    SplitSurrogates,
    CreatedTwice,
    Unstored,
    UnknownThings,
}

#[derive(Deserialize)]
#[serde(rename = "Withheld", rename_all = "snake_case")]
pub(super) enum WithheldForm {
    EncryptedContent,
    Content,
    Rest,
    Name,
    Deltas,
    ItemDone,
    Done,
}

#[derive(Deserialize)]
#[serde(rename = "NoOutput", rename_all = "snake_case")]
pub(super) enum NoOutputForm {
    Null,
    Empty,
    Missing,
    Partial,
}

impl From<StepForm> for Step {
    fn from(step: StepForm) -> Self {
        match step {
            StepForm::Event(event) => Self::Event(event),
            StepForm::Text(text) => Self::Text(text),
            StepForm::Fragmented { text, pieces } => Self::Fragmented { text, pieces },
            StepForm::Split { text, at } => Self::Split { text, at },
            StepForm::Drip { text, pieces, pause_ms } => {
                Self::Drip { text, pieces, pause: Duration::from_millis(pause_ms) }
            }
            StepForm::Partial { text, bytes } => Self::Partial { text, bytes },
            StepForm::Stray(event) => Self::Stray(event),
            StepForm::Flood { text, times } => Self::Flood { text, times },
            StepForm::Raw(text) => Self::Raw(text.into()),
            StepForm::RawBase64(bytes) => Self::Raw(bytes.0.into()),
            StepForm::Comment(text) => Self::Comment(text),
            StepForm::Binary(bytes) => Self::Binary(bytes.0.into()),
            StepForm::Deflated(bytes) => Self::Deflated(bytes.0.into()),
            StepForm::Ping(text) => Self::Ping(text.into()),
            StepForm::Pong(text) => Self::Pong(text.into()),
            StepForm::DelayMs(time) => Self::Delay(Duration::from_millis(time)),
            StepForm::AwaitSteer => Self::AwaitSteer,
            StepForm::AwaitInject => Self::AwaitInject,
            StepForm::AwaitInterrupt => Self::AwaitInterrupt,
            StepForm::Expire => Self::Expire,
            StepForm::Close { code, reason } => Self::Close { code, reason },
            StepForm::End => Self::End,
            StepForm::Reset => Self::Reset,
            StepForm::Stall => Self::Stall,
            StepForm::Freeze => Self::Freeze,
        }
    }
}

impl EditForm {
    /// Applies the edit to a turn.
    pub(super) fn apply(self, turn: Turn) -> Turn {
        match self {
            Self::First(step) => turn.first(step.into()),
            Self::Then(step) => turn.then(step.into()),
            Self::Insert(at_event, step) => turn.insert(at_event, step.into()),
            Self::CutAfter(events, fault) => turn.cut_after(events, fault.into()),
            Self::CutInside(events, bytes, fault) => turn.cut_inside(events, bytes, fault.into()),
            Self::Interleaved => turn.interleaved(),
            Self::WithoutSetup => turn.without_setup(),
            Self::WithoutStreamId => turn.without_stream_id(),
            Self::Tail(bytes) => turn.tail(bytes),
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

impl From<WithheldForm> for Withheld {
    fn from(what: WithheldForm) -> Self {
        match what {
            WithheldForm::EncryptedContent => Self::EncryptedContent,
            WithheldForm::Content => Self::Content,
            WithheldForm::Rest => Self::Rest,
            WithheldForm::Name => Self::Name,
            WithheldForm::Deltas => Self::Deltas,
            WithheldForm::ItemDone => Self::ItemDone,
            WithheldForm::Done => Self::Done,
        }
    }
}

impl From<NoOutputForm> for NoOutput {
    fn from(form: NoOutputForm) -> Self {
        match form {
            NoOutputForm::Null => Self::Null,
            NoOutputForm::Empty => Self::Empty,
            NoOutputForm::Missing => Self::Missing,
            NoOutputForm::Partial => Self::Partial,
        }
    }
}
