//! Cuts texts into deltas.

use serde_json::{Value, json};

use crate::testing::script::value::{list, remove};

/// A piece of a text, and the probabilities of its tokens.
pub(super) struct Delta {
    pub(super) text: String,
    pub(super) logprobs: Value,
}

/// Returns the deltas of a text part: one for each token whose probability the part has, if these
/// tokens make up the text.
pub(super) fn deltas(part: &Value, text: &str) -> Vec<Delta> {
    let tokens = list(part, "logprobs");
    let token = |token: &Value| token["token"].as_str().unwrap_or_default().to_owned();
    if !tokens.is_empty() && tokens.iter().map(token).collect::<String>() == text {
        let delta = |of: &Value| Delta { text: token(of), logprobs: json!([without_bytes(of)]) };
        return tokens.iter().map(delta).collect();
    }
    pieces(text).into_iter().map(|text| Delta { text, logprobs: json!([]) }).collect()
}

/// Returns the probabilities as events have them: only the finished part has the bytes of tokens.
pub(super) fn logprobs(part: &Value) -> Value {
    list(part, "logprobs").iter().map(without_bytes).collect()
}

/// Cuts a text between characters, in up to 32 pieces of four characters or a multiple of that.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(32).next_multiple_of(4).max(4);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// Returns letters that hide the length of a delta; the same seed gives the same letters.
pub(super) fn obfuscation(seed: usize, length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed as u64);
    std::iter::repeat_with(|| random.alphanumeric()).take(16 - length % 16).collect()
}

fn without_bytes(token: &Value) -> Value {
    let mut token = token.clone();
    remove(&mut token, "bytes");
    token
}
