//! Log lines of the library on standard error.

use std::{
    env,
    fmt::{Debug, Write as _},
    io,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::notes::note;

/// Starts to write log lines to standard error, if `RUST_LOG` asks for them or `verbosity` is at
/// least 2. Log lines contain no payloads and no credentials. Otherwise, only warnings of proxy
/// settings are written, as notes.
pub(crate) fn start(verbosity: u8) {
    let Some(filter) = filter(env::var("RUST_LOG").ok(), verbosity) else {
        let settings =
            Targets::new().with_target("responses_client::net::proxy", LevelFilter::WARN);
        tracing_subscriber::registry().with(settings).with(Notes).init();
        return;
    };
    // Records of the crate `log` are not passed on: those of tungstenite contain payloads.
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Writes the message of each event as a note.
struct Notes;

impl<S: Subscriber> Layer<S> for Notes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        note(&message.0);
    }
}

/// Message of an event, without its other fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

/// Returns the filter that `RUST_LOG` describes, or that of `verbosity` if `RUST_LOG` is not set.
fn filter(variable: Option<String>, verbosity: u8) -> Option<Targets> {
    if let Some(text) = variable.filter(|text| !text.is_empty()) {
        match text.parse() {
            Ok(filter) => return Some(filter),
            Err(error) => note(&format!("RUST_LOG is ignored: {error}")),
        }
    }
    (verbosity >= 2).then(|| Targets::new().with_target("responses_client", LevelFilter::DEBUG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_flag() {
        let level = |variable: Option<&str>, verbosity| {
            filter(variable.map(str::to_owned), verbosity)
                .map(|it| it.would_enable("responses_client", &tracing::Level::DEBUG))
        };
        assert_eq!(level(None, 1), None);
        assert_eq!(level(None, 2), Some(true));
        assert_eq!(level(Some(""), 2), Some(true));
        assert_eq!(level(Some("info"), 2), Some(false));
        assert_eq!(level(Some("off,responses_client=trace"), 0), Some(true));
        assert_eq!(level(Some("a=b=c"), 0), None);
    }
}
