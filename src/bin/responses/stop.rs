//! Early ends of a command.

use std::io;

/// Why a command ended before its input did.
pub(crate) enum Stop {
    /// Bad usage or a bad line: this is wrong with it.
    Bad(String),
    /// Nobody reads the output any more.
    Unread,
    /// Ctrl-c.
    Interrupted,
}

impl Stop {
    /// What an error of writing to standard output means.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Bad(format!("standard output cannot be written: {error}")),
        }
    }
}

/// Ends at ctrl-c.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // It does not get here then, but ends the process as it always does.
        std::future::pending().await
    }
}

/// An error with all that lies below it.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        below = cause.source();
    }
    words
}
