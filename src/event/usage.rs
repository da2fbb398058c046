//! What a response cost.

use serde::{Deserialize, Deserializer, Serialize};

/// How many tokens a response took.
///
/// Numbers that the server left out are 0; older servers leave out the details. It serialises
/// under the names of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the input, those of the history included.
    #[serde(deserialize_with = "count")]
    pub input_tokens: u64,
    /// Tokens of the output, reasoning included.
    #[serde(deserialize_with = "count")]
    pub output_tokens: u64,
    /// Both.
    #[serde(deserialize_with = "count")]
    pub total_tokens: u64,
    /// What the input is made of.
    #[serde(deserialize_with = "details")]
    pub input_tokens_details: InputTokensDetails,
    /// What the output is made of.
    #[serde(deserialize_with = "details")]
    pub output_tokens_details: OutputTokensDetails,
}

/// What the input of a response is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InputTokensDetails {
    /// Tokens read from the prompt cache.
    #[serde(deserialize_with = "count")]
    pub cached_tokens: u64,
    /// Tokens written to it.
    #[serde(deserialize_with = "count")]
    pub cache_write_tokens: u64,
    /// For how long they are kept.
    #[serde(deserialize_with = "details")]
    pub cache_write_tokens_details: CacheWriteTokensDetails,
}

/// For how long the tokens written to the prompt cache are kept.
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

/// What the output of a response is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OutputTokensDetails {
    /// Tokens of reasoning.
    #[serde(deserialize_with = "count")]
    pub reasoning_tokens: u64,
}

/// Some servers write counts as floats, or null.
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
