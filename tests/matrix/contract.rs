//! What each fault means: the contract, as a function of the fault, its place, the transport and
//! the policy.

use std::time::Duration;

use responses_client::{Delivery, ErrorKind, RetryAction, Transport, testing::ErrorShape};

use crate::story::{Reached, Story};

/// What goes wrong, or at least differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    // The connection. `Close` over SSE is the clean end of the body.
    Reset,
    End,
    Close(Option<u16>),
    // Time.
    Stall,
    /// Not even pings are answered.
    Freeze,
    /// Silence, with a limit for the whole turn.
    WholeTurn,
    // The protocol.
    Binary,
    NoJson,
    NoUtf8,
    Array,
    TypeIsNumber,
    WrongDelta,
    WrongItem,
    BareTerminal,
    // What harms nobody.
    EmptyObject,
    Done,
    Unknown,
    UnknownOfResponse,
    Keepalive,
    Comment,
    Ping,
    Pong,
    // The server's own word.
    Error(ErrorShape, Code),
    Failed(Code),
    Cancelled,
    // The whole response is odd.
    DoubleTerminal,
    DuplicateCreated,
    OtherResponseIds,
    OtherItemIds,
    NoTerminal,
    UnknownThings,
    NoSetup,
    NoNumbers,
    NullOutput,
    NoOutput,
    Fragments,
}

/// What the server says of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    meaning: Meaning,
}

/// Where in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Before the head of an SSE answer.
    Head,
    /// After this many events.
    After(usize),
    /// After this many events and this many bytes of the next.
    Inside(usize, usize),
    /// Everywhere.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// `ReplayPolicy::Never`, and one attempt.
    Once,
    /// `ReplayPolicy::Never`.
    Never,
    Default,
    /// `ReplayPolicy::Restart`, and four attempts.
    Restart,
}

/// What an error means for another attempt, and for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Another attempt may help: within the budget, as the policy allows.
    Passes,
    /// The response to be continued is gone: in full at once, outside of the budget.
    LostParent,
    /// The socket has served its time: another one at once, outside of the budget.
    SocketAge,
    /// Nobody knows, so that nothing is tried; the caller may.
    Unclear,
    /// Another attempt cannot help.
    Request,
    Credential,
    Quota,
    Address,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) delivery: Delivery,
    pub(crate) meaning: Meaning,
    pub(crate) after: Option<Duration>,
    /// Whatever ran has ended (C130).
    pub(crate) ended: bool,
}

/// What comes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Incomplete,
    Failed(Failure),
}

pub(crate) const CODES: [Code; 8] = [
    Code { status: 429, code: "rate_limit_exceeded", meaning: Meaning::Passes },
    Code { status: 500, code: "server_error", meaning: Meaning::Passes },
    Code { status: 503, code: "server_is_overloaded", meaning: Meaning::Passes },
    Code { status: 400, code: "invalid_prompt", meaning: Meaning::Request },
    Code { status: 401, code: "invalid_api_key", meaning: Meaning::Credential },
    Code { status: 429, code: "insufficient_quota", meaning: Meaning::Quota },
    Code { status: 400, code: "previous_response_not_found", meaning: Meaning::LostParent },
    Code { status: 400, code: "websocket_connection_limit_reached", meaning: Meaning::SocketAge },
];

pub(crate) const FIRST_EVENT: Duration = Duration::from_secs(60);
pub(crate) const BETWEEN_EVENTS: Duration = Duration::from_secs(90);
pub(crate) const WHOLE_TURN: Duration = Duration::from_secs(45);
/// The first ping after 20 s, and 10 s for its pong.
const NO_PONG: Duration = Duration::from_secs(30);

impl Fault {
    /// Whether it can happen there.
    pub(crate) fn is_possible(self, at: At, reached: Reached, transport: Transport) -> bool {
        let websocket = transport == Transport::WebSocket;
        let on_this_transport = match self {
            // Frames that SSE does not have, and codes that the end of a body does not have.
            Self::Freeze | Self::Binary | Self::Ping | Self::Pong => websocket,
            Self::Close(code) => websocket || code.is_none(),
            Self::Comment => !websocket,
            Self::Error(_, code) | Self::Failed(code) => {
                websocket || code.meaning != Meaning::SocketAge
            }
            _ => true,
        };
        on_this_transport
            && match at {
                At::Head => !websocket && matches!(self, Self::Reset | Self::End),
                // On a WebSocket it would be the silence of the next turn.
                At::After(_) if reached == Reached::Ended => {
                    !(websocket && matches!(self, Self::Stall | Self::WholeTurn))
                }
                At::After(_) | At::Whole => true,
                // Within a message, WebSocket allows what controls the connection alone.
                At::Inside(..) => matches!(
                    self,
                    Self::Reset | Self::End | Self::Close(_) | Self::Stall | Self::Freeze
                ),
            }
    }

    /// Whether the caller's events are those of the story, with others between them at most.
    pub(crate) fn is_harmless(self, transport: Transport) -> bool {
        match self {
            // The end of an SSE body.
            Self::Done => transport == Transport::WebSocket,
            Self::EmptyObject
            | Self::Unknown
            | Self::UnknownOfResponse
            | Self::Keepalive
            | Self::Comment
            | Self::Ping
            | Self::Pong
            | Self::DoubleTerminal
            | Self::DuplicateCreated
            | Self::OtherResponseIds
            | Self::OtherItemIds
            | Self::UnknownThings
            | Self::NoSetup
            | Self::NoNumbers
            | Self::NullOutput
            | Self::NoOutput
            | Self::Fragments => true,
            _ => false,
        }
    }

    /// How the attempt ends that it happens to. It happens when the response got this far.
    pub(crate) fn ending(self, story: Story, reached: Reached, transport: Transport) -> Ending {
        let told = match story {
            Story::Incomplete => Ending::Incomplete,
            Story::Failed => failed(ErrorKind::Api, Meaning::Passes, Delivery::OutputStarted),
            _ => Ending::Completed,
        };
        if reached == Reached::Ended || self.is_harmless(transport) {
            return told;
        }
        let websocket = transport == Transport::WebSocket;
        let (kind, meaning) = match self {
            Self::Reset | Self::End | Self::Done => (ErrorKind::Truncated, Meaning::Passes),
            Self::Close(_) if !websocket => (ErrorKind::Truncated, Meaning::Passes),
            Self::Close(code) => (ErrorKind::Closed, close(code, reached)),
            Self::NoTerminal if !websocket => (ErrorKind::Truncated, Meaning::Passes),
            Self::Stall | Self::Freeze | Self::NoTerminal => (ErrorKind::Timeout, Meaning::Passes),
            // No time is left.
            Self::WholeTurn => (ErrorKind::Timeout, Meaning::Unclear),
            Self::Error(..) | Self::Failed(_) | Self::Cancelled => (ErrorKind::Api, self.said()),
            // It would do so again, for all that is known.
            _ => (ErrorKind::Protocol, Meaning::Unclear),
        };
        let delivery = match reached {
            Reached::Nothing if self.is_refusal() => Delivery::Refused,
            // The server is going away, or does not take it.
            Reached::Nothing if matches!(self, Self::Close(Some(1001 | 1009 | 1012 | 1013))) => {
                if websocket {
                    Delivery::Refused
                } else {
                    Delivery::Unknown
                }
            }
            Reached::Nothing => Delivery::Unknown,
            // It says that it did not run, or that it would another time.
            Reached::Accepted if self.is_refusal() && meaning.is_turned_away() => Delivery::Refused,
            Reached::Accepted => Delivery::Accepted,
            Reached::Output | Reached::Ended => Delivery::OutputStarted,
        };
        let after = match self {
            Self::Error(ErrorShape::HeadersInside | ErrorShape::HeadersOutside, _) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        };
        let ended = self.has_ended() && reached <= Reached::Accepted;
        Ending::Failed(Failure { kind, delivery, meaning, after, ended })
    }

    /// Whether the server proves by it that it did not run the request: by a code, or a status.
    fn is_refusal(self) -> bool {
        match self {
            Self::Error(shape, _) if shape.says_nothing() => false,
            Self::Error(ErrorShape::Detail, code) => code.status < 500,
            Self::Error(_, code) | Self::Failed(code) => code.code != "server_error",
            _ => false,
        }
    }

    /// Whether the server says by it that nothing runs any more.
    fn has_ended(self) -> bool {
        match self {
            Self::Error(shape, _) if shape.says_nothing() => false,
            Self::Error(ErrorShape::Detail, code) => code.status >= 500,
            Self::Error(_, code) | Self::Failed(code) => code.code == "server_error",
            _ => false,
        }
    }

    /// What the server's word comes to: some shapes of errors say less than others.
    fn said(self) -> Meaning {
        match self {
            Self::Failed(code) => code.meaning,
            Self::Error(shape, code) => match shape {
                shape if shape.says_nothing() => Meaning::Unclear,
                ErrorShape::Detail => match code.status {
                    401 => Meaning::Credential,
                    429 | 500.. => Meaning::Passes,
                    _ => Meaning::Request,
                },
                _ => code.meaning,
            },
            _ => Meaning::Unclear,
        }
    }

    /// Whether the WebSocket of the attempt serves the next turn.
    pub(crate) fn keeps_socket(self, at: At, reached: Reached) -> bool {
        match self {
            // Connection metadata.
            Self::EmptyObject | Self::Done | Self::Keepalive | Self::Unknown => true,
            Self::Comment | Self::Ping | Self::Pong => true,
            // It does not say whose it is.
            Self::UnknownOfResponse | Self::BareTerminal => reached != Reached::Ended,
            // Behind the end, strays with the id of that response.
            Self::Failed(_) | Self::Cancelled if reached == Reached::Ended => true,
            // It ends the turn by the server's own word (C074, C106), unless that is about the
            // socket or the credential.
            Self::Error(..) | Self::Failed(_) | Self::Cancelled => {
                reached != Reached::Ended
                    && !matches!(self.said(), Meaning::SocketAge | Meaning::Credential)
            }
            Self::NoTerminal => false,
            // C112: what is odd is told, and stays within its turn.
            _ => at == At::Whole,
        }
    }

    /// How long a caller waits for the error.
    pub(crate) fn silence(self, reached: Reached, transport: Transport) -> Duration {
        match (self, reached) {
            (_, Reached::Ended) => Duration::ZERO,
            (Self::Stall, Reached::Nothing) => FIRST_EVENT,
            (Self::NoTerminal, _) if transport == Transport::WebSocket => BETWEEN_EVENTS,
            (Self::Stall, _) => BETWEEN_EVENTS,
            (Self::Freeze, _) => NO_PONG,
            (Self::WholeTurn, _) => WHOLE_TURN,
            _ => Duration::ZERO,
        }
    }
}

impl Failure {
    /// Whether another attempt follows the first.
    pub(crate) fn is_retried(self, policy: Policy, incremental: bool) -> bool {
        let permitted = match (self.delivery, policy) {
            (Delivery::NotSent | Delivery::Refused, _) => true,
            (_, Policy::Once | Policy::Never) => false,
            (Delivery::Unknown, _) => true,
            (Delivery::Accepted, Policy::Default) => self.ended,
            (_, Policy::Default) => false,
            (_, Policy::Restart) => true,
        };
        permitted
            && match self.meaning {
                Meaning::Passes => policy != Policy::Once,
                Meaning::LostParent => incremental,
                Meaning::SocketAge => true,
                _ => false,
            }
    }

    /// What the caller should do about it.
    pub(crate) fn action(self) -> RetryAction {
        match self.meaning {
            Meaning::Passes | Meaning::SocketAge | Meaning::Unclear => {
                if self.delivery <= Delivery::Refused {
                    RetryAction::Retry
                } else {
                    RetryAction::RetryMayRepeat
                }
            }
            Meaning::LostParent | Meaning::Request => RetryAction::ChangeRequest,
            Meaning::Credential => RetryAction::Reauthenticate,
            Meaning::Quota => RetryAction::Stop,
            Meaning::Address => RetryAction::Reconfigure,
        }
    }
}

impl Meaning {
    /// Whether the server did not run the request, if there was no output.
    fn is_turned_away(self) -> bool {
        matches!(self, Self::Passes | Self::LostParent | Self::SocketAge)
    }
}

trait Shape {
    /// Whether it has neither a code nor a status.
    fn says_nothing(self) -> bool;
}

impl Shape for ErrorShape {
    fn says_nothing(self) -> bool {
        matches!(
            self,
            Self::ErrorText
                | Self::DetailText
                | Self::MessageText
                | Self::FailedNull
                | Self::FailedNullCode
        )
    }
}

/// C036, C047.
fn close(code: Option<u16>, reached: Reached) -> Meaning {
    match code {
        Some(1000) if reached == Reached::Nothing => Meaning::Passes,
        None | Some(1001 | 1011 | 1012 | 1013) => Meaning::Passes,
        Some(1008 | 1009) => Meaning::Request,
        Some(_) => Meaning::Unclear,
    }
}

fn failed(kind: ErrorKind, meaning: Meaning, delivery: Delivery) -> Ending {
    Ending::Failed(Failure { kind, delivery, meaning, after: None, ended: false })
}
