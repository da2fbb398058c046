//! Parts of a response object.

use crate::{
    event::item::objects,
    json::{Json, Text},
};

objects! {
    /// Failure that the response object reports. The crate turns a failed response into an
    /// [`Error`](crate::Error).
    ///
    /// ```
    /// use responses_client::Response;
    /// use serde_json::json;
    ///
    /// // A response that was retrieved, for example one in the background.
    /// let error = json!({"code": "server_error", "message": "It failed."});
    /// let response = Response::from_json(json!({"id": "resp_1", "status": "failed", "error": error}))?;
    /// assert_eq!(response.error().and_then(|it| it.code).as_deref(), Some("server_error"));
    /// # Ok::<_, responses_client::error::DecodeError>(())
    /// ```
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
    ///
    /// ```
    /// use responses_client::Response;
    ///
    /// fn show(response: &Response) {
    ///     for change in response.input_transformations() {
    ///         eprintln!("{:?} was {:?}: {:?}", change.id, change.action, change.reason);
    ///     }
    /// }
    /// # let _ = show;
    /// ```
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
    ///
    /// ```
    /// use responses_client::Response;
    ///
    /// fn searches(response: &Response) -> u64 {
    ///     let usage = response.tool_usage().and_then(|usage| usage.web_search);
    ///     usage.and_then(|searches| searches.num_requests).unwrap_or(0)
    /// }
    /// # assert_eq!(searches(&Response::default()), 0);
    /// ```
    ToolUsage {
        /// Image generation: tokens, as the server counts them.
        image_gen: Option<Json>,
        /// Web searches.
        web_search: Option<WebSearchUsage>,
    }
    /// Usage of web searches.
    ///
    /// ```
    /// use responses_client::{Response, response::WebSearchUsage};
    ///
    /// fn total(responses: &[Response]) -> u64 {
    ///     let usage = responses.iter().filter_map(|it| it.tool_usage()?.web_search);
    ///     usage.filter_map(|WebSearchUsage { num_requests, .. }| num_requests).sum()
    /// }
    /// # assert_eq!(total(&[]), 0);
    /// ```
    WebSearchUsage {
        /// Number of searches.
        num_requests: Option<u64>,
    }
}
