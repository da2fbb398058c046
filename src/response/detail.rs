//! Parts of a response object.

use crate::{
    event::item::objects,
    json::{Json, Text},
};

objects! {
    /// Failure that the response object reports. The crate turns a failed response into an
    /// [`Error`](crate::Error).
    ResponseError {
        /// Error code, for example `server_error`.
        code: Option<String>,
        /// Error type; only some servers send it.
        kind = "type": Option<String>,
        /// Human-readable message.
        message: Option<Text>,
        /// Member of the request that caused the error.
        param: Option<String>,
    }
    /// Change that the server made to the input before the model processed it.
    InputTransformation {
        /// Id of the changed item.
        id: Option<String>,
        /// Type of the item: `reasoning`.
        kind = "type": Option<String>,
        /// Kind of change: `removed`.
        action: Option<String>,
        /// Reason of the change, for example `model_mismatch` or `turn_boundary`.
        reason: Option<String>,
    }
    /// Usage of the server's own tools.
    ToolUsage {
        /// Image generation: tokens, as the server counts them.
        image_gen: Option<Json>,
        /// Web searches.
        web_search: Option<WebSearchUsage>,
    }
    /// Usage of web searches.
    WebSearchUsage {
        /// Number of searches.
        num_requests: Option<u64>,
    }
}
