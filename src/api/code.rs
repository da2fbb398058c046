//! The error codes of the API, and what each means for the request.

use std::{convert::Infallible, fmt, str::FromStr};

/// What a code is about, as far as somebody does something else because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The response to be continued is gone.
    Parent,
    /// The WebSocket has reached its age.
    SocketAge,
    /// The server cannot now; it may in a moment.
    Moment,
    /// The server cannot now; it may in a while.
    Overload,
    /// There is nothing left to spend.
    Quota,
    /// The credentials are not taken.
    Credential,
    /// The credentials do not allow it.
    Permission,
    /// The content is against a policy.
    Policy,
    /// An image cannot be used.
    Image,
    /// The request cannot go well as it is.
    Request,
}

macro_rules! codes {
    ($($group:ident { $($(#[$doc:meta])* $name:ident = $text:literal;)* })*) => {
        /// An error code of the API. Servers add codes at any time: those that this version does
        /// not know are [`Other`](Self::Other).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($($(#[$doc])* $name,)*)*
            /// Any other, as it came.
            Other(String),
        }

        impl ErrorCode {
            /// The code as it came.
            pub fn as_str(&self) -> &str {
                match self {
                    $($(Self::$name => $text,)*)*
                    Self::Other(code) => code,
                }
            }

            pub(super) fn group(&self) -> Option<Group> {
                match self {
                    $($(Self::$name)|* => Some(Group::$group),)*
                    Self::Other(_) => None,
                }
            }
        }

        impl From<&str> for ErrorCode {
            fn from(code: &str) -> Self {
                match code {
                    $($($text => Self::$name,)*)*
                    _ => Self::Other(code.to_owned()),
                }
            }
        }
    };
}

codes! {
    Parent {
        /// The response to be continued is gone. A session resends in full by itself.
        PreviousResponseNotFound = "previous_response_not_found";
    }
    SocketAge {
        /// The WebSocket has reached its age. A session opens another by itself.
        ConnectionLimitReached = "websocket_connection_limit_reached";
    }
    Moment {
        /// Too many requests or tokens.
        RateLimitExceeded = "rate_limit_exceeded";
        /// An error of the server.
        ServerError = "server_error";
        /// The search of a vector store took too long.
        VectorStoreTimeout = "vector_store_timeout";
        /// Another request has the conversation now.
        ConversationLocked = "conversation_locked";
        /// Another response is in progress on the WebSocket (gateways).
        ResponseAlreadyInFlight = "response_already_in_flight";
        /// Too many requests wait on the WebSocket (gateways).
        WebSocketQueueFull = "websocket_queue_full";
        /// A gateway did not reach the server behind it.
        RoutingFailed = "openai_routing_failed";
    }
    Overload {
        /// The server has no capacity.
        ServerIsOverloaded = "server_is_overloaded";
        /// Traffic grew too fast.
        SlowDown = "slow_down";
        /// The server behind a gateway has no capacity.
        ProviderOverloaded = "provider_overloaded";
        /// The service tier `flex` has no capacity.
        FlexUnavailable = "flex_unavailable";
    }
    Quota {
        /// Nothing is left to spend.
        InsufficientQuota = "insufficient_quota";
        /// Nothing is left to spend.
        CreditBalanceExhausted = "credit_balance_exhausted";
        /// The organisation's limit is reached.
        OrganizationSpendLimitExceeded = "organization_spend_limit_exceeded";
        /// The project's limit is reached.
        ProjectSpendLimitExceeded = "project_spend_limit_exceeded";
        /// The organisation's limit is reached.
        OrganizationUsageLimitExceeded = "organization_usage_limit_exceeded";
        /// The plan's limit is reached (ChatGPT backend).
        UsageLimitReached = "usage_limit_reached";
        /// The plan does not include this (ChatGPT backend).
        UsageNotIncluded = "usage_not_included";
    }
    Credential {
        /// The key is not valid.
        InvalidApiKey = "invalid_api_key";
    }
    Policy {
        /// Against the policy on biology.
        BioPolicy = "bio_policy";
        /// Against the policy on attacks over networks.
        CyberPolicy = "cyber_policy";
        /// The model did something that nobody asked for: see
        /// [`ApiError::misalignment`](super::ApiError::misalignment).
        MisalignmentPolicyViolation = "misalignment_policy_violation";
        /// The prompt was refused.
        InvalidPrompt = "invalid_prompt";
        /// An image is against the content policy.
        ImageContentPolicyViolation = "image_content_policy_violation";
    }
    Image {
        /// No image.
        InvalidImage = "invalid_image";
        /// An image format that is not taken.
        InvalidImageFormat = "invalid_image_format";
        /// No base64.
        InvalidBase64Image = "invalid_base64_image";
        /// No URL of an image.
        InvalidImageUrl = "invalid_image_url";
        /// More pixels than are taken.
        ImageTooLarge = "image_too_large";
        /// Fewer pixels than are taken.
        ImageTooSmall = "image_too_small";
        /// An image that could not be read.
        ImageParseError = "image_parse_error";
        /// A colour mode that is not taken.
        InvalidImageMode = "invalid_image_mode";
        /// More bytes than are taken.
        ImageFileTooLarge = "image_file_too_large";
        /// A media type that is not taken.
        UnsupportedImageMediaType = "unsupported_image_media_type";
        /// A file without content.
        EmptyImageFile = "empty_image_file";
        /// The server could not fetch the URL.
        FailedToDownloadImage = "failed_to_download_image";
        /// There is no such file.
        ImageFileNotFound = "image_file_not_found";
    }
    Request {
        /// The conversation does not fit into the model.
        ContextLengthExceeded = "context_length_exceeded";
        /// There is no such model.
        ModelNotFound = "model_not_found";
        /// Encrypted content came back from elsewhere or changed.
        InvalidEncryptedContent = "invalid_encrypted_content";
        /// A field has a value that it cannot have: see [`ApiError::param`](super::ApiError::param).
        InvalidValue = "invalid_value";
        /// A field that the model does not take.
        UnsupportedParameter = "unsupported_parameter";
        /// A field that nobody knows.
        UnknownParameter = "unknown_parameter";
        /// A field that must be there.
        MissingRequiredParameter = "missing_required_parameter";
        /// A text that is too long.
        StringAboveMaxLength = "string_above_max_length";
        /// The data may not be processed in this region.
        DataResidencyMismatch = "data_residency_mismatch";
        /// Not a name of a stream on a WebSocket.
        InvalidStreamId = "invalid_stream_id";
        /// The WebSocket has had as many names of streams as it takes.
        StreamLimitReached = "websocket_stream_limit_reached";
        /// The WebSocket serves another model (gateways).
        ModelMismatch = "model_mismatch";
        /// Not a request for a response (gateways).
        InvalidResponseCreate = "invalid_response_create";
        /// No JSON (gateways).
        InvalidJson = "invalid_json";
        /// A type of frame that the server does not know (gateways).
        UnknownEventType = "unknown_event_type";
        /// Steering: there is no such response.
        ResponseNotFound = "response_not_found";
        /// Steering: the input is not taken.
        InvalidInput = "invalid_input";
        /// Steering: not with this model, or not with this request.
        SteeringNotSupported = "steering_not_supported";
        /// Steering: as much as may wait is waiting.
        TooManyPendingSteers = "too_many_pending_steers";
        /// Steering: the response has ended.
        ResponseAlreadyCompleted = "response_already_completed";
        /// Steering: the response is not in progress.
        ResponseNotActive = "response_not_active";
        /// Steering: the response that takes the input could not be begun.
        SuccessorCreationFailed = "successor_creation_failed";
    }
}

impl ErrorCode {
    /// Whether a quota, a budget or a plan is used up: only time or money helps.
    pub fn is_quota(&self) -> bool {
        self.group() == Some(Group::Quota)
    }

    /// Whether the server has too much to do: it wants to be left alone for longer than a moment.
    pub fn is_overload(&self) -> bool {
        self.group() == Some(Group::Overload)
    }

    /// Whether the content is against a policy of the provider's.
    pub fn is_policy(&self) -> bool {
        self.group() == Some(Group::Policy)
    }

    /// Whether an image of the request cannot be used.
    pub fn is_image(&self) -> bool {
        self.group() == Some(Group::Image) || matches!(self, Self::ImageContentPolicyViolation)
    }
}

impl FromStr for ErrorCode {
    type Err = Infallible;

    fn from_str(code: &str) -> Result<Self, Infallible> {
        Ok(code.into())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_not_known_are_kept() {
        let code = ErrorCode::from("brand_new");
        assert_eq!((code.as_str(), code.group()), ("brand_new", None));
        assert_eq!(ErrorCode::from("slow_down"), ErrorCode::SlowDown);
        assert_eq!(ErrorCode::SlowDown.to_string(), "slow_down");
    }

    #[test]
    fn groups_can_be_asked_for() {
        let is = |code: &str| {
            let code = ErrorCode::from(code);
            (code.is_quota(), code.is_overload(), code.is_policy(), code.is_image())
        };
        assert_eq!(is("project_spend_limit_exceeded"), (true, false, false, false));
        assert_eq!(is("server_is_overloaded"), (false, true, false, false));
        assert_eq!(is("cyber_policy"), (false, false, true, false));
        assert_eq!(is("empty_image_file"), (false, false, false, true));
        assert_eq!(is("image_content_policy_violation"), (false, false, true, true));
        assert_eq!(is("brand_new"), (false, false, false, false));
    }
}
