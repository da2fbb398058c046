//! Negotiation of permessage-deflate (RFC 7692) in the upgrade to a WebSocket.

/// Value of `Sec-WebSocket-Extensions` in the request: two offers, the preferred one first.
///
/// The first leaves the client its full window of 32 KiB. A server that answers the second may make
/// the window smaller; some servers do so whenever they may, and most of a repeated request is then
/// out of reach. Without the second, servers that insist on a smaller window would decline.
pub(crate) const OFFER: &str = "permessage-deflate, permessage-deflate; client_max_window_bits";

/// Base-2 logarithm of the largest window.
const MAX_BITS: u8 = 15;
/// Base-2 logarithm of the smallest window.
const MIN_BITS: u8 = 8;

/// Parameters on which client and server have agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Compression of the messages that the client sends.
    pub(crate) client: Direction,
    /// Compression of the messages that the server sends.
    pub(crate) server: Direction,
}

/// Parameters of the messages in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    /// `true` if a message may refer to earlier messages.
    pub(crate) context_takeover: bool,
    /// Base-2 logarithm of the window in bytes, from 8 to 15.
    pub(crate) window_bits: u8,
}

impl Default for Direction {
    fn default() -> Self {
        Self { context_takeover: true, window_bits: MAX_BITS }
    }
}

/// Reads the answer to [`OFFER`] from the values of `Sec-WebSocket-Extensions`. Returns `None` if
/// the server declined, which leaves all messages uncompressed.
///
/// # Errors
///
/// An answer that the standard does not allow, or that no offer covers, with the reason. The
/// handshake must then fail.
pub(crate) fn answer<'a>(
    values: impl IntoIterator<Item = &'a str>,
) -> Result<Option<Agreement>, &'static str> {
    let mut agreement = None;
    let extensions = values.into_iter().flat_map(|value| split(value, ','));
    for extension in extensions.map(str::trim).filter(|extension| !extension.is_empty()) {
        let mut parts = split(extension, ';').map(str::trim);
        if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
            return Err("the server chose an extension without an offer");
        }
        if agreement.replace(parameters(parts)?).is_some() {
            return Err("the server chose `permessage-deflate` twice");
        }
    }
    Ok(agreement)
}

fn parameters<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Agreement, &'static str> {
    let mut agreement = Agreement { client: Direction::default(), server: Direction::default() };
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
            None => (part, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("client_no_context_takeover", None) => agreement.client.context_takeover = false,
            ("server_no_context_takeover", None) => agreement.server.context_takeover = false,
            ("client_max_window_bits", Some(bits)) => agreement.client.window_bits = window(bits)?,
            ("server_max_window_bits", Some(bits)) => agreement.server.window_bits = window(bits)?,
            _ => return Err("the server chose an unknown parameter of `permessage-deflate`"),
        }
        if seen.contains(&name) {
            return Err("the server repeated a parameter of `permessage-deflate`");
        }
        seen.push(name);
    }
    Ok(agreement)
}

/// Reads the size of a window: a decimal number without leading zeros.
fn window(bits: &str) -> Result<u8, &'static str> {
    (MIN_BITS..=MAX_BITS)
        .find(|known| known.to_string() == bits)
        .ok_or("the server chose an invalid window of `permessage-deflate`")
}

/// Returns the value of a quoted string without its quotes.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// Splits at a separator that is not inside a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(value: &str) -> (bool, u8, bool, u8) {
        let Agreement { client, server } = answer([value]).unwrap().unwrap();
        (client.context_takeover, client.window_bits, server.context_takeover, server.window_bits)
    }

    #[test]
    fn c300_a_server_that_names_no_extension_declines() {
        assert_eq!(answer([]), Ok(None));
        assert_eq!(answer([""]), Ok(None));
        assert_eq!(answer([" , "]), Ok(None));
    }

    #[test]
    fn c300_each_direction_has_the_parameters_that_the_server_chose() {
        for (value, expected) in [
            ("permessage-deflate", (true, 15, true, 15)),
            ("Permessage-Deflate", (true, 15, true, 15)),
            ("permessage-deflate; client_no_context_takeover", (false, 15, true, 15)),
            ("permessage-deflate;server_no_context_takeover", (true, 15, false, 15)),
            ("permessage-deflate; client_max_window_bits=12", (true, 12, true, 15)),
            ("permessage-deflate; server_max_window_bits = 8", (true, 15, true, 8)),
            ("permessage-deflate; client_max_window_bits=\"9\"", (true, 9, true, 15)),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=10; client_max_window_bits=15,",
                (false, 15, false, 10),
            ),
        ] {
            assert_eq!(agreed(value), expected, "{value}");
        }
    }

    #[test]
    fn c301_an_answer_beyond_the_offer_fails() {
        for value in [
            "permessage-bzip2",
            "x-webkit-deflate-frame",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate, x",
            "permessage-deflate; level=9",
            "permessage-deflate;",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"9",
            "\"permessage-deflate, x",
        ] {
            assert!(answer([value]).is_err(), "{value}");
        }
        assert!(answer(["permessage-deflate", "permessage-deflate"]).is_err());
    }
}
