//! Answers to upgrade requests, and to requests on kept connections.

use std::time::Duration;

use super::{cut::Cut, refusal::Refusal};

/// Answer to a request to become a WebSocket.
///
/// ```
/// use responses_client::testing::{Refusal, Script, Upgrade};
///
/// let script = Script::new().every_upgrade(Upgrade::Refuse(Refusal::status(426)));
/// # drop(script);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Upgrade {
    /// Status 101.
    #[default]
    Accept,
    /// Status 101 after this time, measured by tokio's clock.
    Delay(Duration),
    /// This HTTP answer instead of a WebSocket.
    Refuse(Refusal),
    /// No answer, on a connection that stays open.
    Hang,
    /// A TCP reset.
    Reset,
    /// Status 101 with a wrong `Sec-WebSocket-Accept`.
    WrongAccept,
    /// Status 101 with one more header, such as an extension that the client did not offer.
    Header {
        /// Name of the header.
        name: String,
        /// Value of the header.
        value: String,
    },
    /// Status 101, and a Close frame immediately.
    CloseAfter {
        /// Code of the Close frame.
        code: u16,
    },
    /// Status 101, and a Close frame in answer to each `response.create`, which takes no turn.
    CloseOnCreate {
        /// Code of the Close frame.
        code: u16,
    },
}

/// Answer to a request on a kept connection, which served another request before.
///
/// ```
/// use responses_client::testing::{Reuse, Script, Turn};
///
/// let script = Script::new().turns(vec![Turn::text("Hello"); 2]).reuse(Reuse::Reset);
/// # drop(script);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// The answer to any other request.
    #[default]
    Serve,
    /// A TCP reset, before a byte of an answer. The request takes no turn and is not logged.
    Reset,
    /// Like [`Reset`](Self::Reset), with the end of the connection in place of the reset.
    End,
}

/// Action of the server on a request to become a WebSocket.
#[derive(Debug)]
pub(crate) enum UpgradeAnswer {
    Accept(Accepted),
    Refuse(Refusal),
    Hang,
    Cut(Cut),
}

/// A request to become a WebSocket that is answered with 101.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// Time before the answer.
    pub(crate) delay: Option<Duration>,
    /// `Sec-WebSocket-Accept` belongs to another key.
    pub(crate) wrong_accept: bool,
    /// One more header.
    pub(crate) header: Option<(String, String)>,
    /// Code of a Close frame that is sent immediately.
    pub(crate) close: Option<u16>,
    /// Code of a Close frame that answers each request.
    pub(crate) close_on_create: Option<u16>,
}

impl Upgrade {
    /// Returns `true` if no status 101 is sent.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::Hang | Self::Reset)
    }

    /// Returns the action of the server.
    pub(crate) fn answer(self) -> UpgradeAnswer {
        let mut accepted = Accepted::default();
        match self {
            Self::Accept => {}
            Self::Delay(time) => accepted.delay = Some(time),
            Self::Refuse(refusal) => return UpgradeAnswer::Refuse(refusal),
            Self::Hang => return UpgradeAnswer::Hang,
            Self::Reset => return UpgradeAnswer::Cut(Cut::Reset),
            Self::WrongAccept => accepted.wrong_accept = true,
            Self::Header { name, value } => accepted.header = Some((name, value)),
            Self::CloseAfter { code } => accepted.close = Some(code),
            Self::CloseOnCreate { code } => accepted.close_on_create = Some(code),
        }
        UpgradeAnswer::Accept(accepted)
    }
}

impl Reuse {
    /// Returns the way to cut the connection; `None` if the request is served.
    pub(crate) fn cut(self) -> Option<Cut> {
        match self {
            Self::Serve => None,
            Self::Reset => Some(Cut::Reset),
            Self::End => Some(Cut::Fin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sends_no_101_is_refused() {
        for (upgrade, refused) in [
            (Upgrade::Accept, false),
            (Upgrade::Hang, true),
            (Upgrade::Reset, true),
            (Upgrade::Refuse(Refusal::status(426)), true),
            (Upgrade::CloseAfter { code: 1001 }, false),
            (Upgrade::WrongAccept, false),
        ] {
            assert_eq!(upgrade.is_refused(), refused, "{upgrade:?}");
            assert_eq!(!matches!(upgrade.answer(), UpgradeAnswer::Accept(_)), refused);
        }
    }

    #[test]
    fn a_kept_connection_is_served_or_cut() {
        assert_eq!(Reuse::Serve.cut(), None);
        assert_eq!(Reuse::Reset.cut(), Some(Cut::Reset));
        assert_eq!(Reuse::End.cut(), Some(Cut::Fin));
    }
}
