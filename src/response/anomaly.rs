//! Irregularities in the events of a response.

use crate::format::named_with_data;

/// Harmless irregularity in the events of a response.
///
/// ```
/// use responses_client::{TurnReport, report::Anomaly};
///
/// fn log(report: &TurnReport) {
///     for anomaly in &report.anomalies {
///         match anomaly {
///             Anomaly::UnknownEvent { event, .. } => eprintln!("the server sent a {event}"),
///             other => eprintln!("{other}"), // for example "item_changed (at 0)"
///         }
///     }
/// }
/// # let _ = log;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anomaly {
    /// The id of the response changed.
    ResponseId,
    /// The id of an item changed between its events.
    #[non_exhaustive]
    ItemId {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// The type of an item changed between its events.
    #[non_exhaustive]
    ItemType {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// Two items have the same id.
    #[non_exhaustive]
    DuplicateItemId {
        /// Place of the second item in the output.
        output_index: u32,
    },
    /// Several items finished at the same place; all of them are kept.
    #[non_exhaustive]
    OutputIndexShared {
        /// Place in the output.
        output_index: u32,
    },
    /// An item finished twice; the later version is kept.
    #[non_exhaustive]
    ItemFinishedTwice {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// The terminal event had no output, although items had finished; the items are kept.
    OutputMissing,
    /// A second `response.created` with another id restarted the response. Everything before it was
    /// dropped.
    ResponseRestarted,
    /// The terminal event changed a finished item; the values of the terminal event are kept.
    #[non_exhaustive]
    ItemChanged {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// The terminal event lacks a finished item; the item is kept.
    #[non_exhaustive]
    ItemMissing {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// The response completed with an unfinished item; the item was built from its deltas.
    #[non_exhaustive]
    ItemUnfinished {
        /// Place of the item in the output.
        output_index: u32,
    },
    /// The output has the same call twice; the first one is kept.
    CallRepeated,
    /// Events without an id arrived before the response started, on a connection that had carried
    /// another response. They were treated as late events of that response and dropped.
    LateEvents,
    /// An event of an unknown kind arrived and was yielded unchanged.
    #[non_exhaustive]
    UnknownEvent {
        /// Type of the event, at most 64 characters.
        event: String,
    },
}

named_with_data! {
    Anomaly {
        ResponseId = "response_id";
        ItemId { output_index } = "item_id", " (at {output_index})";
        ItemType { output_index } = "item_type", " (at {output_index})";
        DuplicateItemId { output_index } = "duplicate_item_id", " (at {output_index})";
        OutputIndexShared { output_index } = "output_index_shared", " (at {output_index})";
        ItemFinishedTwice { output_index } = "item_finished_twice", " (at {output_index})";
        OutputMissing = "output_missing";
        ResponseRestarted = "response_restarted";
        ItemChanged { output_index } = "item_changed", " (at {output_index})";
        ItemMissing { output_index } = "item_missing", " (at {output_index})";
        ItemUnfinished { output_index } = "item_unfinished", " (at {output_index})";
        CallRepeated = "call_repeated";
        LateEvents = "late_events";
        UnknownEvent { event } = "unknown_event", " ({event})";
    }
}
