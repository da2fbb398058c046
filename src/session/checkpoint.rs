//! What a session knows, to go on from in another process.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    proto::plan::{Baseline, Prior},
    request::{History, ResponsesRequest},
    shared::Shared,
};

/// What a session knows of its conversation: its last completed turn, and the response that the
/// server has of it.
///
/// A stored response is named to the same base URL and
/// [account](crate::ResponsesClientBuilder::account) alone; where no account is set on either side,
/// the credentials are taken to be of one.
///
/// It serialises with serde, as an object that holds the last request in full and the output of its
/// response: as secret as the conversation, and as long. No credential is in it.
#[derive(Clone)]
pub struct Checkpoint {
    /// Where the response is: it is named to nobody else.
    server: String,
    account: Option<String>,
    prior: Prior,
}

/// As it is serialised.
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
    /// Whether the response outlives the connection that it came over.
    stored: bool,
    request: ResponsesRequest,
    output: History,
}

const VERSION: u32 = 1;

impl Checkpoint {
    pub(super) fn new(shared: &Shared, prior: Prior) -> Self {
        Self { server: shared.provider.address(), account: shared.account.clone(), prior }
    }

    /// What a session through this client may continue.
    pub(super) fn prior(self, shared: &Shared) -> Prior {
        let here = self.server == shared.provider.address() && self.account == shared.account;
        match self.prior {
            Prior::Completed(mut base) => {
                // No connection of this process carried it.
                base.connection = None;
                base.stored &= here;
                Prior::Completed(base)
            }
            other => other,
        }
    }
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let last = match &self.prior {
            Prior::Completed(base) => Some(Last {
                response_id: base.response_id.clone(),
                stored: base.stored,
                request: (*base.request).clone(),
                output: base.output.iter().cloned().collect(),
            }),
            Prior::None | Prior::NotCompleted | Prior::Ambiguous => None,
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
                "a checkpoint of version {version}: this version reads {VERSION}"
            )));
        }
        let prior = last.map_or(Prior::NotCompleted, |last| {
            Prior::Completed(Box::new(Baseline {
                response_id: last.response_id,
                request: Arc::new(last.request),
                output: last.output.iter().cloned().collect(),
                connection: None,
                stored: last.stored,
                warm_up: false,
            }))
        });
        Ok(Self { server, account, prior })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let completed = matches!(self.prior, Prior::Completed(_));
        f.debug_struct("Checkpoint").field("completed", &completed).finish_non_exhaustive()
    }
}
