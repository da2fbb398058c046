//! The ways to cut a connection.

/// Way to cut a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The peer reads the end of the stream.
    Fin,
    /// The peer reads an error.
    Reset,
}
