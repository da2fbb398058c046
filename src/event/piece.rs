//! Deltas: the part of an item that each of them continues, and the events that end the part.

use super::{EventKind, ResponseEvent};
use crate::json::Text;

/// Part of an item that grows by deltas of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartKey {
    kind: EventKind,
    /// Index of the item in the output. Ids are useless here, because some servers give each event
    /// another.
    output_index: u32,
    /// Index of the part in the item, or of the command in a call.
    index: u32,
}

macro_rules! deltas {
    ($($delta:ident ends with $done:ident $(at $index:ident $(of $($part:ident)+)?)?;)*) => {
        impl PartKey {
            /// Returns `true` if no delta of the part may follow `event`.
            pub(crate) fn is_ended_by(self, event: &ResponseEvent) -> bool {
                match (self.kind, event) {
                    (_, ResponseEvent::OutputItemDone(e)) => e.output_index == self.output_index,
                    $(
                        (EventKind::$delta, ResponseEvent::$done(e)) => {
                            e.output_index == self.output_index $(&& e.$index == self.index)?
                        }
                        $($($(
                            (EventKind::$delta, ResponseEvent::$part(e)) => {
                                e.output_index == self.output_index && e.$index == self.index
                            }
                        )+)?)?
                    )*
                    _ => false,
                }
            }
        }

        impl ResponseEvent {
            /// Returns the text of a delta and the part that the delta continues.
            pub(crate) fn delta_mut(&mut self) -> Option<(PartKey, &mut Text)> {
                match self {
                    $(Self::$delta(e) => {
                        let index = 0 $(+ e.$index)?;
                        let kind = EventKind::$delta;
                        let key = PartKey { kind, output_index: e.output_index, index };
                        Option::from(&mut e.delta).map(|delta| (key, delta))
                    })*
                    _ => None,
                }
            }
        }
    };
}

deltas! {
    OutputTextDelta ends with OutputTextDone at content_index of ContentPartDone;
    RefusalDelta ends with RefusalDone at content_index of ContentPartDone;
    FunctionCallArgumentsDelta ends with FunctionCallArgumentsDone;
    CustomToolCallInputDelta ends with CustomToolCallInputDone;
    ReasoningTextDelta ends with ReasoningTextDone
        at content_index of ContentPartDone ReasoningPartDone;
    ReasoningDelta ends with ReasoningDone at content_index of ContentPartDone ReasoningPartDone;
    ReasoningSummaryTextDelta ends with ReasoningSummaryTextDone
        at summary_index of ReasoningSummaryPartDone;
    ReasoningSummaryDelta ends with ReasoningSummaryDone
        at summary_index of ReasoningSummaryPartDone;
    CodeInterpreterCallCodeDelta ends with CodeInterpreterCallCodeDone;
    ShellCallCommandDelta ends with ShellCallCommandDone at command_index;
}
