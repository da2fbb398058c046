//! The saved state of a session, for continuing in another process.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    endpoint::Endpoint,
    proto::plan::{Baseline, PreviousTurn},
    request::{History, ResponsesRequest},
};

/// State of a conversation: its last completed turn, and the id of the response on the server.
///
/// The id of a stored response is sent only to the same base URL and
/// [account](crate::ResponsesClientBuilder::account). If no account is set on either side, both are
/// assumed to use the same account.
///
/// A checkpoint serializes with serde, as an object that contains the last request in full and the
/// output of its response. The object is as confidential and as long as the conversation. It
/// contains no credentials.
///
/// ```
/// # use responses_client::testing::{Script, ScriptedServer, Turn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
/// # let client = server.client()?;
/// use responses_client::{Checkpoint, Item, ResponsesRequest};
///
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// let mut session = client.session();
/// session.respond(&request).await?;
/// let saved = serde_json::to_string(&session.checkpoint())?;
///
/// // In another process:
/// let checkpoint: Checkpoint = serde_json::from_str(&saved)?;
/// let mut request = request.input(checkpoint.history());
/// request.input.push(Item::user("Say ho"));
/// let response = client.resume(checkpoint).respond(&request).await?;
/// # drop(response);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Checkpoint {
    /// Base URL of the server that has the response. The id is sent to no other server.
    server: String,
    account: Option<String>,
    prior: PreviousTurn,
}

/// Serialized form of a checkpoint.
#[derive(Deserialize, Serialize)]
struct Record {
    version: u32,
    server: String,
    account: Option<String>,
    last: Option<Last>,
}

#[derive(Deserialize, Serialize)]
struct Last {
    response_id: String,
    /// `true` if the response outlives its connection.
    stored: bool,
    request: ResponsesRequest,
    output: History,
}

const VERSION: u32 = 1;

impl Checkpoint {
    /// Returns the request of the last completed turn, in full. `None` if the last turn of the
    /// session did not complete, or if there was none.
    pub fn request(&self) -> Option<&ResponsesRequest> {
        match &self.prior {
            PreviousTurn::Completed(base) => Some(&base.request),
            PreviousTurn::None | PreviousTurn::NotCompleted | PreviousTurn::Ambiguous => None,
        }
    }

    /// Returns the input of the last completed turn and the output of its response. The input of
    /// the next turn begins with these items. Empty if the last turn of the session did not
    /// complete, or if there was none.
    ///
    /// A turn with `previous_response_id` or `conversation` has only the items of that turn, and
    /// not the ones that the server keeps.
    ///
    /// ```
    /// # use responses_client::{Checkpoint, Item, ResponsesRequest};
    /// fn next_request(checkpoint: &Checkpoint) -> Option<ResponsesRequest> {
    ///     let mut request = checkpoint.request()?.clone();
    ///     request.input = checkpoint.history();
    ///     request.input.push(Item::user("Go on."));
    ///     Some(request)
    /// }
    /// ```
    pub fn history(&self) -> History {
        let PreviousTurn::Completed(base) = &self.prior else { return History::default() };
        let mut history = base.request.input.clone();
        history.extend(base.output.iter().cloned());
        history
    }

    pub(super) fn new(endpoint: &Endpoint, prior: PreviousTurn) -> Self {
        Self { server: endpoint.provider.address(), account: endpoint.account.clone(), prior }
    }

    /// Returns what a session of this client may continue.
    pub(super) fn prior(self, endpoint: &Endpoint) -> PreviousTurn {
        let here = self.server == endpoint.provider.address() && self.account == endpoint.account;
        match self.prior {
            PreviousTurn::Completed(mut base) => {
                // Connection ids are unique within one process only.
                base.seat = None;
                base.stored &= here;
                PreviousTurn::Completed(base)
            }
            other => other,
        }
    }
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let last = match &self.prior {
            PreviousTurn::Completed(base) => Some(Last {
                response_id: base.response_id.clone(),
                stored: base.stored,
                request: (*base.request).clone(),
                output: base.output.iter().cloned().collect(),
            }),
            PreviousTurn::None | PreviousTurn::NotCompleted | PreviousTurn::Ambiguous => None,
        };
        let (server, account) = (self.server.clone(), self.account.clone());
        Record { version: VERSION, server, account, last }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Record { version, server, account, last } = Record::deserialize(deserializer)?;
        if version != VERSION {
            return Err(de::Error::custom(format_args!(
                "unsupported checkpoint version {version}, expected {VERSION}"
            )));
        }
        let prior = last.map_or(PreviousTurn::NotCompleted, |last| {
            PreviousTurn::Completed(Box::new(Baseline {
                response_id: last.response_id,
                request: Arc::new(last.request),
                output: last.output.iter().cloned().collect(),
                seat: None,
                stored: last.stored,
                warm_up: false,
            }))
        });
        Ok(Self { server, account, prior })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let completed = matches!(self.prior, PreviousTurn::Completed(_));
        f.debug_struct("Checkpoint").field("completed", &completed).finish_non_exhaustive()
    }
}
