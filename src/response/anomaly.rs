//! Oddities of the events of a response.

/// An oddity of the events that did no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anomaly {
    /// The id of the response changed.
    ResponseId,
    /// The id of an item changed between its events.
    ItemId {
        /// The item's place in the output.
        output_index: u32,
    },
    /// The type of an item changed between its events.
    ItemType {
        /// The item's place in the output.
        output_index: u32,
    },
    /// Two items have one id.
    DuplicateItemId {
        /// The second item's place in the output.
        output_index: u32,
    },
    /// Several items were finished at one place; all of them count.
    OutputIndexShared {
        /// The place in the output.
        output_index: u32,
    },
    /// An item was finished twice; the later one counts.
    ItemFinishedTwice {
        /// The item's place in the output.
        output_index: u32,
    },
    /// The terminal event had no output, although items were finished; the items count.
    OutputMissing,
    /// A second `response.created` with another id began the response anew; what had come before
    /// it was dropped.
    ResponseRestarted,
    /// The terminal event changed an item that was finished; its values count.
    ItemChanged {
        /// The item's place in the output.
        output_index: u32,
    },
    /// The terminal event lacks an item that was finished; the item counts.
    ItemMissing {
        /// The item's place in the output.
        output_index: u32,
    },
    /// The response completed and an item was never finished; the item was made from its deltas.
    ItemUnfinished {
        /// The item's place in the output.
        output_index: u32,
    },
    /// The output has a call twice; the first one counts.
    CallRepeated,
    /// Events without an id came before the response began, on a connection that had carried
    /// another. They were taken for late ones of that response and dropped.
    LateEvents,
    /// An event that no turn can place came and was handed out as it is.
    UnknownEvent {
        /// Its type, at most 64 characters of it.
        event: String,
    },
}
