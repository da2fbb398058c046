//! Presets for known servers.

use std::time::Duration;

use super::{ConfigError, Provider};

impl Provider {
    /// Returns the preset for OpenAI, `https://api.openai.com/v1`: both transports, frames up to 16
    /// MiB, and a WebSocket that stays usable after an error, for up to 60 minutes.
    pub fn openai() -> Self {
        Self::known("https://api.openai.com/v1")
    }

    /// Returns the preset for Azure OpenAI, by its base URL
    /// `https://RESOURCE.openai.azure.com/openai/v1`. The path may be omitted. The model of a request is the name of a
    /// deployment, and [`Auth::bearer`](crate::Auth::bearer) takes a key as well as an Entra token.
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn azure(base_url: &str) -> Result<Self, ConfigError> {
        let mut azure = Self::compatible(base_url)?;
        if !azure.has_path() {
            azure.base.set_path("openai/v1");
        }
        Ok(azure)
    }

    /// Returns the preset for xAI, `https://api.x.ai/v1`: both transports, and a WebSocket for up
    /// to 25 minutes.
    pub fn xai() -> Self {
        Self::known("https://api.x.ai/v1").max_age(Some(Duration::from_secs(25 * 60)))
    }

    /// Returns the preset for Vercel's AI Gateway, `https://ai-gateway.vercel.sh/v1`: both
    /// transports, frames up to 4 MiB, and a WebSocket that closes after an error, or after 13
    /// minutes.
    pub fn vercel() -> Self {
        Self::known("https://ai-gateway.vercel.sh/v1")
            .frame_limit(Some(4 << 20))
            .reuses_socket_after_error(false)
            .max_age(Some(Duration::from_secs(13 * 60)))
    }

    /// Returns the preset for OpenRouter, `https://openrouter.ai/api/v1`: SSE, and no stored
    /// responses.
    pub fn openrouter() -> Self {
        Self::known("https://openrouter.ai/api/v1").websocket(false).stores_by_default(false)
    }

    /// Returns the preset for the ChatGPT backend, `https://chatgpt.com/backend-api/codex`: both
    /// transports, frames up to 16 MiB, no stored responses (the server requires `store: false`),
    /// and a WebSocket that stops responding after an error. The server requires the caller's
    /// header `chatgpt-account-id`.
    pub fn chatgpt() -> Self {
        Self {
            headers: &[("openai-beta", "responses_websockets=2026-02-06")],
            ..Self::known("https://chatgpt.com/backend-api/codex")
        }
        .stores_by_default(false)
        .reuses_socket_after_error(false)
    }

    /// Returns the preset for GitHub Copilot, `https://api.githubcopilot.com`: SSE.
    pub fn copilot() -> Self {
        Self::known("https://api.githubcopilot.com").websocket(false)
    }

    /// Returns the preset for Ollama on this machine, `http://localhost:11434/v1`: SSE, and no
    /// stored responses.
    pub fn ollama() -> Self {
        Self::known("http://localhost:11434/v1").websocket(false).stores_by_default(false)
    }

    /// Returns the preset for LM Studio on this machine, `http://localhost:1234/v1`: SSE.
    pub fn lm_studio() -> Self {
        Self::known("http://localhost:1234/v1").websocket(false)
    }

    /// Returns the preset for vLLM, by its base URL: SSE, and no stored responses unless vLLM was
    /// started with a store.
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn vllm(base_url: &str) -> Result<Self, ConfigError> {
        Ok(Self::compatible(base_url)?.websocket(false).stores_by_default(false))
    }

    /// Moves the provider to another base URL, for example that of a gateway or a test server.
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn with_base_url(self, base_url: &str) -> Result<Self, ConfigError> {
        Ok(Self { base: Self::compatible(base_url)?.base, ..self })
    }

    fn known(base_url: &str) -> Self {
        #[expect(clippy::expect_used, reason = "constants that a test parses")]
        Self::compatible(base_url).expect("a valid URL")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_address_and_its_ways() {
        let url = |provider: &Provider| provider.url("responses").to_string();
        for (provider, address, websocket, stores, keeps, frame) in [
            (Provider::openai(), "https://api.openai.com/v1", true, true, true, 16),
            (Provider::xai(), "https://api.x.ai/v1", true, true, true, 16),
            (Provider::vercel(), "https://ai-gateway.vercel.sh/v1", true, true, false, 4),
            (Provider::openrouter(), "https://openrouter.ai/api/v1", false, false, true, 16),
            (Provider::chatgpt(), "https://chatgpt.com/backend-api/codex", true, false, false, 16),
            (Provider::copilot(), "https://api.githubcopilot.com", false, true, true, 16),
            (Provider::ollama(), "http://localhost:11434/v1", false, false, true, 16),
            (Provider::lm_studio(), "http://localhost:1234/v1", false, true, true, 16),
        ] {
            assert_eq!(url(&provider), format!("{address}/responses"));
            let ways = (provider.websocket, provider.stores_by_default);
            assert_eq!(ways, (websocket, stores), "{address}");
            assert_eq!(provider.reuses_socket_after_error, keeps, "{address}");
            assert_eq!(provider.frame_limit, Some(frame << 20), "{address}");
            let moved = provider.clone().with_base_url("http://127.0.0.1:8/v1/").unwrap();
            assert_eq!(url(&moved), "http://127.0.0.1:8/v1/responses");
            assert_eq!(moved.with_base_url(address).unwrap(), provider, "the ways stay");
        }
        let azure = Provider::azure("https://r.openai.azure.com/openai/v1").unwrap();
        assert!(azure.websocket);
        assert_eq!(Provider::azure("https://r.openai.azure.com").unwrap(), azure);
        assert!(!Provider::vllm("http://localhost:8000/v1").unwrap().websocket);
        assert!(Provider::xai().with_base_url("api.x.ai").is_err());
    }
}
