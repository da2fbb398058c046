//! Early ends of a command.

use std::io;

/// Reason for the end of a command before the end of its input.
pub(crate) enum Stop {
    /// Bad usage or bad input, with a message.
    Bad(String),
    /// A failure that is no fault of the caller, with a message.
    Failed(String),
    /// The reader of standard output has closed the pipe.
    Unread,
    /// Turns do not work, as the output says.
    Unusable,
    /// The user pressed ctrl-c.
    Interrupted,
}

impl Stop {
    /// Returns the reason for an error of writing to standard output.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Bad(format!("could not write to standard output: {error}")),
        }
    }
}

/// Resolves at ctrl-c.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler, ctrl-c ends the process in the default way.
        std::future::pending().await
    }
}

/// Returns the message of an error, followed by the messages of its sources.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        below = cause.source();
    }
    with_flags(&words)
}

/// Settings of the library that its messages recommend, and the flags of the tool for them.
const FLAGS: &[(&str, &str)] = &[
    ("`TransportPolicy::Auto`", "`--transport auto`"),
    ("`Provider::allow_credentials_over_http`", "`--allow-http-credentials`"),
    ("`NetworkSettings::root_certificates_pem`", "`--ca-file`"),
    ("`Limits::max_event_bytes`", "`--max-event-bytes`"),
    ("`Limits::read_ahead`", "`--read-ahead`"),
    ("choose another `ProxySetting`", "set another proxy in `HTTPS_PROXY`"),
    ("pass them as `Auth`", "put them into a variable and name it with `--api-key-env`"),
    (", or use `Auth::provider_fn` to fetch tokens", ""),
    ("implement `AuthProvider::sign` to sign requests for AWS", "use an API key of Bedrock"),
];

/// Returns a message of the library with the flags of the tool in place of settings.
pub(crate) fn with_flags(message: &str) -> String {
    let replace = |text: String, (setting, flag): &(&str, &str)| text.replace(setting, flag);
    FLAGS.iter().fold(message.to_owned(), replace)
}
