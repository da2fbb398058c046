//! The error codes of the API, and the meaning of each for the request.

use std::{convert::Infallible, str::FromStr};

use crate::format::named_or_other;

/// Group of codes that the crate reacts to in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The response to continue is gone.
    Parent,
    /// The WebSocket has reached its maximum age.
    SocketAge,
    /// The server cannot serve the request now; a retry may succeed after a short delay.
    Transient,
    /// The server cannot serve the request now; a retry may succeed after a longer delay.
    Overload,
    /// A quota or a budget is used up.
    Quota,
    /// The credentials are invalid.
    Credential,
    /// The credentials do not allow the request.
    Permission,
    /// The content violates a policy.
    Policy,
    /// An image cannot be used.
    Image,
    /// The request cannot succeed unchanged.
    Request,
}

macro_rules! codes {
    ($($group:ident { $($(#[$doc:meta])* $name:ident = $text:literal;)* })*) => {
        /// Error code of the API. Servers add codes at any time; a code that this version does not
        /// know is [`Other`](Self::Other).
        ///
        /// ```
        /// use responses_client::{Error, ErrorCode};
        ///
        /// fn is_unknown_model(error: &Error) -> bool {
        ///     error.code() == Some(&ErrorCode::ModelNotFound)
        /// }
        /// # let _ = is_unknown_model;
        /// assert_eq!(ErrorCode::ModelNotFound.as_str(), "model_not_found");
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($($(#[$doc])* $name,)*)*
            /// Any other code, as received.
            Other(String),
        }

        impl ErrorCode {
            pub(super) fn group(&self) -> Option<Group> {
                match self {
                    $($(Self::$name)|* => Some(Group::$group),)*
                    Self::Other(_) => None,
                }
            }
        }

        named_or_other!(ErrorCode { $($($name = $text,)*)* });
    };
}

codes! {
    Parent {
        /// The response to continue is gone. A session then resends the request in full.
        PreviousResponseNotFound = "previous_response_not_found";
    }
    SocketAge {
        /// The WebSocket has reached its maximum age. A session then opens another one.
        ConnectionLimitReached = "websocket_connection_limit_reached";
    }
    Transient {
        /// Too many requests or tokens.
        RateLimitExceeded = "rate_limit_exceeded";
        /// The server failed.
        ServerError = "server_error";
        /// The search of a vector store timed out.
        VectorStoreTimeout = "vector_store_timeout";
        /// Another request has locked the conversation.
        ConversationLocked = "conversation_locked";
        /// Another response is in progress on the WebSocket (gateways).
        ResponseAlreadyInFlight = "response_already_in_flight";
        /// Too many requests are queued on the WebSocket (gateways).
        WebSocketQueueFull = "websocket_queue_full";
        /// The gateway could not reach its upstream server.
        RoutingFailed = "openai_routing_failed";
    }
    Overload {
        /// The server has no capacity.
        ServerIsOverloaded = "server_is_overloaded";
        /// The request rate grew too fast.
        SlowDown = "slow_down";
        /// The upstream server of a gateway has no capacity.
        ProviderOverloaded = "provider_overloaded";
        /// The service tier `flex` has no capacity.
        FlexUnavailable = "flex_unavailable";
    }
    Quota {
        /// The account has no quota left.
        InsufficientQuota = "insufficient_quota";
        /// The account has no credit left.
        CreditBalanceExhausted = "credit_balance_exhausted";
        /// The organisation has reached its spend limit.
        OrganizationSpendLimitExceeded = "organization_spend_limit_exceeded";
        /// The project has reached its spend limit.
        ProjectSpendLimitExceeded = "project_spend_limit_exceeded";
        /// The organisation has reached its usage limit.
        OrganizationUsageLimitExceeded = "organization_usage_limit_exceeded";
        /// The plan has reached its usage limit (ChatGPT backend).
        UsageLimitReached = "usage_limit_reached";
        /// The plan does not include the request (ChatGPT backend).
        UsageNotIncluded = "usage_not_included";
        /// A budget of the caller is used up.
        BudgetReached = "budget_reached";
    }
    Credential {
        /// The API key is invalid.
        InvalidApiKey = "invalid_api_key";
    }
    Permission {
        /// The account is not enrolled in the access program that the request names.
        AccessProgramNotEnabled = "access_program_not_enabled";
    }
    Policy {
        /// The content violates the policy on biology.
        BioPolicy = "bio_policy";
        /// The content violates the policy on cyberattacks.
        CyberPolicy = "cyber_policy";
        /// The model acted outside the request: see
        /// [`ApiError::misalignment`](super::ApiError::misalignment).
        MisalignmentPolicyViolation = "misalignment_policy_violation";
        /// The prompt was refused.
        InvalidPrompt = "invalid_prompt";
        /// An image violates the content policy.
        ImageContentPolicyViolation = "image_content_policy_violation";
        /// The content violates the content policy.
        ContentPolicyViolation = "content_policy_violation";
        /// A hook of the organization refused the request.
        InferenceHookDenied = "inference_hook_denied";
    }
    Image {
        /// Not an image.
        InvalidImage = "invalid_image";
        /// Unsupported image format.
        InvalidImageFormat = "invalid_image_format";
        /// Invalid base64.
        InvalidBase64Image = "invalid_base64_image";
        /// Not the URL of an image.
        InvalidImageUrl = "invalid_image_url";
        /// The image has too many pixels.
        ImageTooLarge = "image_too_large";
        /// The image has too few pixels.
        ImageTooSmall = "image_too_small";
        /// The image could not be decoded.
        ImageParseError = "image_parse_error";
        /// Unsupported colour mode.
        InvalidImageMode = "invalid_image_mode";
        /// The image file has too many bytes.
        ImageFileTooLarge = "image_file_too_large";
        /// Unsupported media type.
        UnsupportedImageMediaType = "unsupported_image_media_type";
        /// The image file is empty.
        EmptyImageFile = "empty_image_file";
        /// The server could not download the image.
        FailedToDownloadImage = "failed_to_download_image";
        /// The image file does not exist.
        ImageFileNotFound = "image_file_not_found";
    }
    Request {
        /// The conversation exceeds the context of the model.
        ContextLengthExceeded = "context_length_exceeded";
        /// The model does not exist.
        ModelNotFound = "model_not_found";
        /// Encrypted content was changed, or came from another account or model.
        InvalidEncryptedContent = "invalid_encrypted_content";
        /// Invalid value of a field: see [`ApiError::param`](super::ApiError::param).
        InvalidValue = "invalid_value";
        /// The model does not support a field.
        UnsupportedParameter = "unsupported_parameter";
        /// Unknown field.
        UnknownParameter = "unknown_parameter";
        /// A required field is missing.
        MissingRequiredParameter = "missing_required_parameter";
        /// A string exceeds its maximum length.
        StringAboveMaxLength = "string_above_max_length";
        /// The server has no capacity to check the content against its policies. A session does
        /// not retry.
        PolicyCapacityUnavailable = "policy_capacity_unavailable";
        /// The audio has too many bytes.
        AudioTooLarge = "audio_too_large";
        /// Not an audio file.
        InvalidAudio = "invalid_audio";
        /// Invalid encoding of audio data.
        InvalidAudioData = "invalid_audio_data";
        /// Unsupported audio format.
        InvalidAudioFormat = "invalid_audio_format";
        /// The sample rate of the audio is missing.
        MissingAudioSampleRate = "missing_audio_sample_rate";
        /// The data may not be processed in this region.
        DataResidencyMismatch = "data_residency_mismatch";
        /// Invalid stream id on a WebSocket.
        InvalidStreamId = "invalid_stream_id";
        /// The WebSocket has reached its maximum number of stream ids.
        StreamLimitReached = "websocket_stream_limit_reached";
        /// The WebSocket serves another model (gateways).
        ModelMismatch = "model_mismatch";
        /// Invalid `response.create` frame (gateways).
        InvalidResponseCreate = "invalid_response_create";
        /// Invalid JSON (gateways).
        InvalidJson = "invalid_json";
        /// Unknown frame type (gateways).
        UnknownEventType = "unknown_event_type";
        /// Steering: the response does not exist.
        ResponseNotFound = "response_not_found";
        /// Steering: invalid input.
        InvalidInput = "invalid_input";
        /// Steering: not supported by the model or with this request.
        SteeringNotSupported = "steering_not_supported";
        /// Steering: the maximum number of inputs is pending.
        TooManyPendingSteers = "too_many_pending_steers";
        /// Steering: the response has ended.
        ResponseAlreadyCompleted = "response_already_completed";
        /// Steering: the response is not in progress.
        ResponseNotActive = "response_not_active";
        /// Steering: the response that takes the input could not be started.
        SuccessorCreationFailed = "successor_creation_failed";
    }
}

impl ErrorCode {
    /// Returns `true` if a quota, a budget or a plan is used up. Only waiting for its renewal or
    /// paying helps.
    pub fn is_quota(&self) -> bool {
        self.group() == Some(Group::Quota)
    }

    /// Returns `true` if the server is overloaded. It asks for a longer delay than after other
    /// errors.
    pub fn is_overload(&self) -> bool {
        self.group() == Some(Group::Overload)
    }

    /// Returns `true` if the content violates a policy of the provider.
    pub fn is_policy(&self) -> bool {
        self.group() == Some(Group::Policy)
    }

    /// Returns `true` if an image of the request cannot be used.
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
        assert_eq!(is("content_policy_violation"), (false, false, true, false));
        assert_eq!(is("budget_reached"), (true, false, false, false));
        assert_eq!(is("empty_image_file"), (false, false, false, true));
        assert_eq!(is("image_content_policy_violation"), (false, false, true, true));
        assert_eq!(is("brand_new"), (false, false, false, false));
    }
}
