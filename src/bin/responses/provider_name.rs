//! Names of the presets.

use clap::ValueEnum;
use responses_client::{Provider, error::ConfigError};

/// Preset of a server.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum ProviderName {
    #[value(help = "https://api.openai.com/v1")]
    Openai,
    /// Azure OpenAI; needs a base URL, or as --base-url the name of a resource
    Azure,
    /// Microsoft Foundry; needs a base URL, or as --base-url the name of a resource
    Foundry,
    /// Amazon Bedrock; SSE; needs a base URL, or as --base-url a region
    Bedrock,
    /// OpenAI's models on Vertex AI; SSE; needs a base URL
    Vertex,
    #[value(help = "https://api.x.ai/v1")]
    Xai,
    #[value(help = "https://ai-gateway.vercel.sh/v1")]
    Vercel,
    #[value(help = "https://openrouter.ai/api/v1; SSE")]
    Openrouter,
    #[value(help = "https://chatgpt.com/backend-api/codex")]
    Chatgpt,
    #[value(help = "https://api.githubcopilot.com; SSE")]
    Copilot,
    #[value(help = "http://localhost:11434/v1; SSE")]
    Ollama,
    #[value(help = "http://localhost:1234/v1; SSE")]
    Lmstudio,
    #[value(help = "http://localhost:8080/v1; SSE")]
    Llamacpp,
    /// vLLM; SSE; needs a base URL
    Vllm,
    /// Any other server that behaves like openai; needs a base URL
    Compatible,
}

impl ProviderName {
    /// Returns the provider, if its base URL is fixed.
    pub(crate) fn known(self) -> Option<Provider> {
        match self {
            Self::Openai => Some(Provider::openai()),
            Self::Xai => Some(Provider::xai()),
            Self::Vercel => Some(Provider::vercel()),
            Self::Openrouter => Some(Provider::openrouter()),
            Self::Chatgpt => Some(Provider::chatgpt()),
            Self::Copilot => Some(Provider::copilot()),
            Self::Ollama => Some(Provider::ollama()),
            Self::Lmstudio => Some(Provider::lm_studio()),
            Self::Llamacpp => Some(Provider::llama_cpp()),
            Self::Azure
            | Self::Foundry
            | Self::Bedrock
            | Self::Vertex
            | Self::Vllm
            | Self::Compatible => None,
        }
    }

    /// Returns `true` if the server usually runs on the user's own machine, without keys.
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Self::Ollama | Self::Lmstudio | Self::Llamacpp | Self::Vllm)
    }

    /// Returns a provider without a fixed base URL.
    pub(crate) fn by_url(self, base_url: &str) -> Result<Provider, ConfigError> {
        match self {
            Self::Azure => Provider::azure(base_url),
            Self::Foundry => Provider::foundry(base_url),
            Self::Bedrock => Provider::bedrock(base_url),
            Self::Vertex => Provider::from_url(base_url),
            Self::Vllm => Provider::vllm(base_url),
            _ => Provider::compatible(base_url),
        }
    }
}
