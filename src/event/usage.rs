//! Token usage of a response.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Deserializer, Serialize};

/// Token usage of a response.
///
/// A number that the server omits is 0; older servers omit the details. The type serializes under
/// the names of the API. The usages of several responses add up:
///
/// ```
/// # use responses_client::{Response, event::Usage};
/// fn total(responses: &[Response]) -> Usage {
///     responses.iter().filter_map(Response::usage).sum()
/// }
/// ```
///
/// A sum beyond [`u64::MAX`] stays there.
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
///
/// ```
/// # use responses_client::event::Usage;
/// /// Returns the tokens that were not read from the prompt cache.
/// fn uncached(usage: Usage) -> u64 {
///     usage.input_tokens.saturating_sub(usage.input_tokens_details.cached_tokens)
/// }
/// # assert_eq!(uncached(Usage::default()), 0);
/// ```
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
///
/// ```
/// # use responses_client::event::Usage;
/// fn show(usage: Usage) {
///     let written = usage.input_tokens_details.cache_write_tokens_details;
///     println!("{} for 30 minutes, {} for 12 hours", written.ttl_30m_tokens, written.ttl_12h_tokens);
/// }
/// # let _ = show;
/// ```
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
///
/// ```
/// # use responses_client::event::Usage;
/// /// Returns the tokens of the answer without those of the reasoning.
/// fn answer_tokens(usage: Usage) -> u64 {
///     usage.output_tokens.saturating_sub(usage.output_tokens_details.reasoning_tokens)
/// }
/// # assert_eq!(answer_tokens(Usage::default()), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OutputTokensDetails {
    /// Tokens used for reasoning.
    #[serde(deserialize_with = "count")]
    pub reasoning_tokens: u64,
}

/// Adds all counts. The patterns are exhaustive, so that a new count cannot be forgotten.
macro_rules! sums {
    ($($name:ident { $($count:ident)* $(; $($details:ident)*)? })*) => {$(
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                let Self { $($count,)* $($($details,)*)? } = other;
                $(self.$count = self.$count.saturating_add($count);)*
                $($(self.$details += $details;)*)?
            }
        }

        impl Add for $name {
            type Output = Self;

            fn add(mut self, other: Self) -> Self {
                self += other;
                self
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
                usages.fold(Self::default(), Add::add)
            }
        }

        impl<'a> Sum<&'a Self> for $name {
            fn sum<I: Iterator<Item = &'a Self>>(usages: I) -> Self {
                usages.copied().sum()
            }
        }
    )*};
}

sums! {
    Usage {
        input_tokens output_tokens total_tokens;
        input_tokens_details output_tokens_details
    }
    InputTokensDetails { cached_tokens cache_write_tokens; cache_write_tokens_details }
    CacheWriteTokensDetails { ttl_30m_tokens ttl_12h_tokens }
    OutputTokensDetails { reasoning_tokens }
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

    #[test]
    fn usages_add_up_in_every_count() {
        let usage = |n: u64| -> Usage {
            serde_json::from_value(serde_json::json!({
                "input_tokens": n, "output_tokens": 2 * n, "total_tokens": 3 * n,
                "input_tokens_details": {
                    "cached_tokens": 4 * n, "cache_write_tokens": 5 * n,
                    "cache_write_tokens_details": {
                        "ttl_30m_tokens": 6 * n, "ttl_12h_tokens": 7 * n,
                    },
                },
                "output_tokens_details": {"reasoning_tokens": 8 * n},
            }))
            .unwrap()
        };
        assert_eq!(usage(1) + usage(10), usage(11));
        assert_eq!([usage(1), usage(2), usage(3)].iter().sum::<Usage>(), usage(6));
        assert_eq!([usage(1), usage(2)].into_iter().sum::<Usage>(), usage(3));
        let mut most = Usage { total_tokens: u64::MAX, ..Usage::default() };
        most += usage(1);
        assert_eq!((most.total_tokens, most.input_tokens), (u64::MAX, 1));
    }
}
