//! What the members of a response are made of.

use crate::{
    event::item::objects,
    json::{Json, Text},
};

objects! {
    /// Why a response failed. What the crate makes of it stands in its
    /// [`Error`](crate::Error).
    ResponseError {
        /// Its code, `server_error` say.
        code: Option<String>,
        /// Its type, from some servers.
        kind = "type": Option<String>,
        /// For people.
        message: Option<Text>,
        /// The member of the request that it is about.
        param: Option<String>,
    }
    /// What the server did to the input before the model saw it.
    InputTransformation {
        /// The item.
        id: Option<String>,
        /// Its type: `reasoning`.
        kind = "type": Option<String>,
        /// What was done: `removed`.
        action: Option<String>,
        /// Why: `model_mismatch` or `turn_boundary`, say.
        reason: Option<String>,
    }
    /// What the server's own tools took.
    ToolUsage {
        /// The generation of images: tokens, as the server counts them.
        image_gen: Option<Json>,
        /// Searches of the web.
        web_search: Option<WebSearchUsage>,
    }
    /// What searches of the web took.
    WebSearchUsage {
        /// How many there were.
        num_requests: Option<u64>,
    }
}
