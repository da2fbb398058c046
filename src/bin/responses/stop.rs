//! Early ends of a command.

use std::{error::Error as StdError, io};

use responses_client::{Error, error::ConnectError};

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

/// Returns the message of an error, followed by the messages of its sources. The reason for a
/// connection that was not opened is in the message already, so that its sources are left out.
pub(crate) fn in_words(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let reason = error.downcast_ref::<Error>().and_then(Error::connect_error);
    let mut below = match reason {
        None | Some(ConnectError::Unreachable) => error.source(),
        Some(_) => None,
    };
    while let Some(cause) = below {
        words.push_str(": ");
        match foreign(cause) {
            Some(text) => {
                words.push_str(text);
                break;
            }
            None => words.push_str(&cause.to_string()),
        }
        below = cause.source();
    }
    with_flags(&words)
}

/// Returns a text for an error of another crate whose own text names items of Rust.
fn foreign(cause: &(dyn StdError + 'static)) -> Option<&'static str> {
    if cause.downcast_ref().is_some_and(hyper::Error::is_parse) {
        return Some("the answer is not HTTP");
    }
    let mut inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
    while let Some(error) = inner.downcast_ref::<io::Error>() {
        inner = error.get_ref()?;
    }
    inner.is::<rustls::Error>().then_some("TLS failed")
}

/// Settings of the library that its messages recommend, and the flags of the tool for them. Earlier
/// rows are replaced first.
const FLAGS: &[(&str, &str)] = &[
    ("`TransportPolicy::Auto`", "`--transport auto`"),
    ("`Provider::allow_credentials_over_http`", "`--allow-http-credentials`"),
    ("`NetworkSettings::root_certificates_pem`", "`--ca-file`"),
    ("`NetworkSettings::client_certificate_pem`", "`--client-certificate`"),
    ("the key of the client certificate cannot be used:", "--client-key"),
    ("a root certificate cannot be used:", "--ca-file"),
    ("the client certificate is not a PEM text:", "--client-certificate"),
    ("the client certificate cannot be used:", "--client-certificate"),
    ("`Limits::max_event_bytes`", "`--max-event-bytes`"),
    ("`Limits::read_ahead`", "`--read-ahead`"),
    ("more than `Limits` allow", "more than its limits allow"),
    ("the limit `max_resend_bytes`", "the limit of the bytes that a turn sends again"),
    ("pass them as `Auth`", "put them into a variable and name it with `--api-key-env`"),
    ("check the client's `AuthProvider`", "check the table `auth`"),
    (
        "implement `AuthProvider::sign` to sign requests for AWS, as the example `sigv4` does",
        "use an API key of Bedrock",
    ),
    (", as a field or in `extra`", ""),
    ("this crate", "this program"),
];

/// Returns a message of the library with the flags of the tool in place of settings.
pub(crate) fn with_flags(message: &str) -> String {
    let replace = |text: String, (setting, flag): &(&str, &str)| text.replace(setting, flag);
    FLAGS.iter().fold(message.to_owned(), replace)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use clap::CommandFactory as _;
    use proc_macro2::{Delimiter, TokenStream, TokenTree};

    use super::*;

    /// Parts of the library that show no text to users of the tool.
    const SILENT: [&str; 4] = ["bin", "testing", "tests", "tests.rs"];

    /// Names and string literals in the sources of the library, without tests and documentation.
    #[derive(Default)]
    struct Sources {
        /// Names of types, and of the fields of settings.
        items: BTreeSet<String>,
        texts: Vec<String>,
    }

    impl Sources {
        fn read() -> Self {
            let mut sources = Self::default();
            sources.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
            sources
        }

        fn read_folder(&mut self, folder: &Path) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if SILENT.contains(&name) {
                } else if path.is_dir() {
                    self.read_folder(&path);
                } else if name.ends_with(".rs") {
                    let is_setting = path.components().any(|part| part.as_os_str() == "config");
                    let tokens = fs::read_to_string(&path).unwrap().parse().unwrap();
                    self.read_tokens(tokens, is_setting);
                }
            }
        }

        fn read_tokens(&mut self, tokens: TokenStream, is_setting: bool) {
            // The last tokens, as text.
            let (mut before, mut last) = (String::new(), String::new());
            for token in tokens {
                let text = match &token {
                    TokenTree::Group(group) => {
                        let inner = group.stream();
                        let is_attribute = last == "#" || last == "!" && before == "#";
                        let is_hidden = group.delimiter() == Delimiter::Bracket
                            && is_attribute
                            && ["doc", "must_use"]
                                .iter()
                                .any(|it| inner.to_string().starts_with(it));
                        if !is_hidden && (before.as_str(), last.as_str()) != ("mod", "tests") {
                            self.read_tokens(inner, is_setting);
                        }
                        String::new()
                    }
                    TokenTree::Literal(literal) => {
                        let text = literal.to_string();
                        if let Ok(text) = syn::parse_str::<syn::LitStr>(&text) {
                            self.texts.push(text.value());
                        }
                        text
                    }
                    token => token.to_string(),
                };
                let is_declared = ["struct", "enum", "trait", "type"].contains(&last.as_str())
                    || is_setting && last == "pub";
                if is_declared && !text.is_empty() {
                    self.items.insert(text.clone());
                }
                (before, last) = (last, text);
            }
        }

        /// Returns the names of Rust that stand in backticks in `text`.
        fn names_in<'a>(&self, text: &'a str) -> Vec<&'a str> {
            let quoted = text.split('`').skip(1).step_by(2);
            let is_item = |quoted: &&str| {
                let name = quoted.trim_end_matches("()");
                quoted.contains("::") || self.items.contains(name)
            };
            quoted.filter(is_item).collect()
        }
    }

    #[test]
    fn c181_no_message_of_the_library_names_an_item_of_rust() {
        let sources = Sources::read();
        assert!(sources.items.contains("Auth") && sources.items.contains("max_resend_bytes"));
        let mut named = 0;
        for text in &sources.texts {
            named += sources.names_in(text).len();
            let shown = with_flags(text);
            assert_eq!(sources.names_in(&shown), [""; 0], "{shown}");
        }
        assert!(named > 10, "{named}");
        for (setting, flag) in FLAGS {
            let is_used = sources.texts.iter().any(|text| text.contains(setting));
            assert!(is_used, "no message has {setting}");
            assert_eq!(with_flags(setting), *flag);
        }
    }

    /// Returns the flags that a text names.
    fn flags_in(text: &str) -> impl Iterator<Item = &str> {
        let is_end = |it: char| !it.is_ascii_lowercase() && it != '-';
        let flags = text.split("--").skip(1).filter_map(move |rest| rest.split(is_end).next());
        flags.filter(|flag| flag.starts_with(|it: char| it.is_ascii_lowercase()))
    }

    #[test]
    fn c181_flags_that_messages_name_exist() {
        let mut flags = BTreeSet::new();
        for command in ["run", "doctor"] {
            let tool = crate::Cli::command();
            let command = tool.find_subcommand(command).unwrap();
            let own = command.get_arguments().filter_map(|it| it.get_long());
            flags.extend(own.map(str::to_owned));
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut doctor = Sources::default();
        doctor.read_folder(&root.join("src/bin/responses/doctor"));
        doctor.texts.push(fs::read_to_string(root.join("docs/doctor.md")).unwrap());
        let texts = doctor.texts.iter().map(String::as_str);
        let texts = texts.chain(FLAGS.iter().map(|(_, flag)| *flag));
        let named: BTreeSet<_> = texts.flat_map(flags_in).collect();
        assert!(named.len() > 10, "{named:?}");
        let unknown: Vec<_> = named.into_iter().filter(|flag| !flags.contains(*flag)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
