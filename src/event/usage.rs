//! Token usage of a response.

use serde::{Deserialize, Deserializer, Serialize};

/// Token usage of a response.
///
/// A number that the server omits is 0; older servers omit the details. The type serializes under
/// the names of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the input, including the history.
    #[serde(deserialize_with = "count")]
    pub input_tokens: u64,
    /// Tokens of the output, including reasoning.
    #[serde(deserialize_with = "count")]
    pub output_tokens: u64,
    /// Tokens of the input and the output.
    #[serde(deserialize_with = "count")]
    pub total_tokens: u64,
    /// Details of the input tokens.
    #[serde(deserialize_with = "details")]
    pub input_tokens_details: InputTokensDetails,
    /// Details of the output tokens.
    #[serde(deserialize_with = "details")]
    pub output_tokens_details: OutputTokensDetails,
}

/// Details of the input tokens of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InputTokensDetails {
    /// Tokens read from the prompt cache.
    #[serde(deserialize_with = "count")]
    pub cached_tokens: u64,
    /// Tokens written to the prompt cache.
    #[serde(deserialize_with = "count")]
    pub cache_write_tokens: u64,
    /// Lifetimes of the tokens written to the prompt cache.
    #[serde(deserialize_with = "details")]
    pub cache_write_tokens_details: CacheWriteTokensDetails,
}

/// Lifetimes of the tokens written to the prompt cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CacheWriteTokensDetails {
    /// Tokens kept for 30 minutes.
    #[serde(deserialize_with = "count")]
    pub ttl_30m_tokens: u64,
    /// Tokens kept for 12 hours.
    #[serde(deserialize_with = "count")]
    pub ttl_12h_tokens: u64,
}

/// Details of the output tokens of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OutputTokensDetails {
    /// Tokens used for reasoning.
    #[serde(deserialize_with = "count")]
    pub reasoning_tokens: u64,
}

/// Deserializes a count. Some servers write counts as floats, or null.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    super::fields::Number::deserialize(deserializer).map(|number| number.0.unwrap_or_default())
}

fn details<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_nulls_and_gaps_are_read() {
        let usage: Usage = serde_json::from_str(
            r#"{"input_tokens":3.0,"output_tokens":null,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens_details":{"ttl_30m_tokens":4.0,"ttl_12h_tokens":5}},"output_tokens_details":null,"x":1}"#,
        )
        .unwrap();
        assert_eq!(usage.input_tokens, 3);
        assert_eq!(usage.output_tokens, 0);
        assert_eq!(usage.input_tokens_details.cached_tokens, 2);
        let written = usage.input_tokens_details.cache_write_tokens_details;
        assert_eq!((written.ttl_30m_tokens, written.ttl_12h_tokens), (4, 5));
        let text = serde_json::to_string(&usage).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
    }
}
