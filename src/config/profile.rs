//! Known servers: one table of their addresses and properties, and a preset for each.

use std::time::Duration;

use url::Url;

use super::{
    ConfigError, Provider,
    capabilities::{Capabilities, SessionHeaders},
    operations::{Operation, Operations, Support},
};

/// A known server.
struct Profile {
    /// Base URL. A part in capitals differs from user to user.
    base_url: &'static str,
    /// Hosts by which the server is recognized; `*` stands for one part of any characters. A host
    /// of this machine has its port.
    hosts: &'static [&'static str],
    capabilities: Capabilities,
    /// Headers that every request to the server needs besides the credentials.
    headers: &'static [(&'static str, &'static str)],
}

/// All known servers. The page `docs/providers.md` shows this table.
const PROFILES: [Profile; 14] = [
    OPENAI, AZURE, FOUNDRY, BEDROCK, VERTEX, XAI, VERCEL, OPENROUTER, CHATGPT, COPILOT, OLLAMA,
    LM_STUDIO, VLLM, LLAMA_CPP,
];

/// Operations of a server that keeps no responses.
const STATELESS: Operations = Operations::NONE.with(Support::Yes, &[Operation::Models]);

const OPENAI: Profile = Profile {
    base_url: "https://api.openai.com/v1",
    hosts: &["api.openai.com", "*.api.openai.com"],
    capabilities: Capabilities { steer: true, ..Capabilities::OPENAI },
    headers: &[],
};

const AZURE: Profile = Profile {
    base_url: "https://RESOURCE.openai.azure.com/openai/v1",
    hosts: &["*.openai.azure.com", "*.openai.azure.us", "*.cognitiveservices.azure.com"],
    capabilities: Capabilities {
        operations: Operations::ALL.with(Support::Unknown, &[Operation::InputTokens]),
        ..Capabilities::COMPATIBLE
    },
    headers: &[],
};

const FOUNDRY: Profile = Profile {
    base_url: "https://RESOURCE.services.ai.azure.com/openai/v1",
    hosts: &["*.services.ai.azure.com"],
    ..AZURE
};

const BEDROCK: Profile = Profile {
    base_url: "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
    hosts: &[
        "bedrock-runtime.*.amazonaws.com",
        "bedrock-runtime-fips.*.amazonaws.com",
        "bedrock-mantle.*.api.aws",
    ],
    capabilities: Capabilities::STATELESS_SSE,
    headers: &[],
};

const VERTEX: Profile = Profile {
    base_url: "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION/publishers/openai/v1",
    hosts: &["aiplatform.googleapis.com", "*-aiplatform.googleapis.com"],
    ..BEDROCK
};

const XAI: Profile = Profile {
    base_url: "https://api.x.ai/v1",
    hosts: &["api.x.ai", "*.api.x.ai"],
    capabilities: Capabilities {
        max_age: Some(Duration::from_secs(25 * 60)),
        operations: Operations::ALL
            .with(Support::No, &[Operation::Cancel, Operation::InputTokens, Operation::Background])
            .with(Support::Unknown, &[Operation::InputItems]),
        ..Capabilities::COMPATIBLE
    },
    headers: &[],
};

const VERCEL: Profile = Profile {
    base_url: "https://ai-gateway.vercel.sh/v1",
    hosts: &["ai-gateway.vercel.sh"],
    capabilities: Capabilities {
        reuses_socket_after_error: false,
        frame_limit: Some(4 << 20),
        max_age: Some(Duration::from_secs(13 * 60)),
        ..Capabilities::COMPATIBLE
    },
    headers: &[],
};

const OPENROUTER: Profile = Profile {
    base_url: "https://openrouter.ai/api/v1",
    hosts: &["openrouter.ai"],
    capabilities: Capabilities { operations: STATELESS, ..Capabilities::STATELESS_SSE },
    headers: &[],
};

const CHATGPT: Profile = Profile {
    base_url: "https://chatgpt.com/backend-api/codex",
    hosts: &["chatgpt.com"],
    capabilities: Capabilities {
        stores_by_default: false,
        reuses_socket_after_error: false,
        turn_state: true,
        zstd: true,
        interrupt: true,
        session_headers: SessionHeaders::CODEX,
        operations: STATELESS,
        ..Capabilities::COMPATIBLE
    },
    headers: &[("openai-beta", "responses_websockets=2026-02-06")],
};

const COPILOT: Profile = Profile {
    base_url: "https://api.githubcopilot.com",
    hosts: &["*.githubcopilot.com"],
    capabilities: Capabilities::SSE,
    headers: &[],
};

const OLLAMA: Profile = Profile {
    base_url: "http://localhost:11434/v1",
    hosts: &["localhost:11434", "ollama.com"],
    ..OPENROUTER
};

const LM_STUDIO: Profile = Profile {
    base_url: "http://localhost:1234/v1",
    hosts: &["localhost:1234"],
    capabilities: Capabilities {
        // It keeps responses, and does not document how they are read.
        operations: STATELESS.with(Support::Unknown, &[Operation::Retrieve, Operation::Background]),
        ..Capabilities::SSE
    },
    headers: &[],
};

const VLLM: Profile = Profile {
    base_url: "http://localhost:8000/v1",
    hosts: &[],
    capabilities: Capabilities {
        // It depends on how the server was started.
        operations: STATELESS.with(
            Support::Unknown,
            &[Operation::Retrieve, Operation::Cancel, Operation::Background],
        ),
        ..Capabilities::STATELESS_SSE
    },
    headers: &[],
};

const LLAMA_CPP: Profile =
    Profile { base_url: "http://localhost:8080/v1", hosts: &[], ..OPENROUTER };

impl Profile {
    /// Returns the provider with the base URL of the profile.
    fn provider(&self) -> Provider {
        #[expect(clippy::expect_used, reason = "constants that a test parses")]
        self.at(self.base_url).expect("a valid URL")
    }

    /// Returns the provider with another base URL.
    fn at(&self, base_url: &str) -> Result<Provider, ConfigError> {
        let mut provider = Provider::compatible(base_url)?;
        provider.capabilities = self.capabilities;
        let headers = self.headers.iter();
        provider.headers =
            headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(provider)
    }

    fn serves(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => {
                host.len() > before.len() + after.len()
                    && host.starts_with(before)
                    && host.ends_with(after)
            }
            None => host == *pattern,
        })
    }

    /// Returns the path of the base URL, unless the path differs from user to user.
    fn path(&self) -> Option<&'static str> {
        let path = self.base_url.splitn(4, '/').nth(3)?;
        (!path.contains(char::is_uppercase)).then_some(path)
    }
}

impl Provider {
    /// Returns the preset of the server at a base URL, recognized by its host;
    /// `docs/providers.md` lists the hosts. If the path is missing, it is that of the preset, such
    /// as `/v1`.
    ///
    /// For any other host, returns [`compatible`](Self::compatible).
    ///
    /// ```
    /// use responses_client::Provider;
    ///
    /// let azure = Provider::from_url("https://my-resource.openai.azure.com")?;
    /// assert_eq!(azure, Provider::azure("my-resource")?);
    /// # Ok::<_, responses_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn from_url(base_url: &str) -> Result<Self, ConfigError> {
        let other = Self::compatible(base_url)?;
        let host = host_of(&other.base);
        match PROFILES.iter().find(|profile| profile.serves(&host)) {
            Some(profile) => Ok(profile.at(base_url)?.complete(profile)),
            None => Ok(other),
        }
    }

    /// Returns the preset for OpenAI, `https://api.openai.com/v1`: both transports, frames up to 16
    /// MiB, and a WebSocket that stays usable after an error, for up to 60 minutes.
    pub fn openai() -> Self {
        OPENAI.provider()
    }

    /// Returns the preset for Azure OpenAI, by the name of the resource or by its base URL, such as
    /// `https://my-resource.openai.azure.com/openai/v1`. The path of the URL may be omitted. For a
    /// resource of Foundry, see [`foundry`](Self::foundry); a URL of either works.
    ///
    /// The model of a request is the name of a deployment. [`Auth::bearer`](crate::Auth::bearer)
    /// takes a key as well as an Entra token; over SSE, so does the header `api-key` of
    /// [`Auth::header`](crate::Auth::header). Previews need `.query("api-version", "preview")`.
    ///
    /// ```
    /// use responses_client::Provider;
    ///
    /// let azure = Provider::azure("my-resource")?.query("api-version", "preview");
    /// # drop(azure);
    /// # Ok::<_, responses_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible), and if `resource` is neither a URL nor a name.
    pub fn azure(resource: &str) -> Result<Self, ConfigError> {
        AZURE.named(resource)
    }

    /// Returns the preset for Microsoft Foundry, by the name of the resource or by its base URL,
    /// such as `https://my-resource.services.ai.azure.com/openai/v1`. The endpoint of a project,
    /// which ends in `/api/projects/NAME`, works too. See [`azure`](Self::azure) for credentials.
    ///
    /// # Errors
    ///
    /// Like [`azure`](Self::azure).
    pub fn foundry(resource: &str) -> Result<Self, ConfigError> {
        FOUNDRY.named(resource)
    }

    /// Returns the preset for Amazon Bedrock, by the region, such as `us-east-1`, or by a base URL:
    /// SSE. The credential is an API key of Bedrock, or signs each request: see
    /// [`AuthProvider::sign`](crate::AuthProvider::sign).
    ///
    /// A region stands for the endpoint `bedrock-runtime`. For `bedrock-mantle`, pass its URL:
    /// `https://bedrock-mantle.us-east-1.api.aws/openai/v1`, or with the path `/v1` for models
    /// that AWS lists there.
    ///
    /// # Errors
    ///
    /// Like [`azure`](Self::azure).
    pub fn bedrock(region: &str) -> Result<Self, ConfigError> {
        BEDROCK.named(region)
    }

    /// Returns the preset for the models of OpenAI on Vertex AI, by the project and the location,
    /// such as `us-central1` or `global`: SSE. The credential is an access token of Google Cloud,
    /// which expires within the hour: see [`Auth::provider_fn`](crate::Auth::provider_fn).
    ///
    /// # Errors
    ///
    /// If the project or the location is not a name.
    pub fn vertex(project: &str, location: &str) -> Result<Self, ConfigError> {
        check_name(project)?;
        check_name(location)?;
        let url = match location {
            "global" => VERTEX.base_url.replacen("LOCATION-", "", 1),
            _ => VERTEX.base_url.to_owned(),
        };
        VERTEX.at(&url.replace("LOCATION", location).replace("PROJECT", project))
    }

    /// Returns the preset for xAI, `https://api.x.ai/v1`: both transports, and a WebSocket for up
    /// to 25 minutes.
    pub fn xai() -> Self {
        XAI.provider()
    }

    /// Returns the preset for Vercel's AI Gateway, `https://ai-gateway.vercel.sh/v1`: both
    /// transports, frames up to 4 MiB, and a WebSocket that closes after an error, or after 13
    /// minutes.
    pub fn vercel() -> Self {
        VERCEL.provider()
    }

    /// Returns the preset for OpenRouter, `https://openrouter.ai/api/v1`: SSE, and no stored
    /// responses.
    pub fn openrouter() -> Self {
        OPENROUTER.provider()
    }

    /// Returns the preset for the ChatGPT backend, `https://chatgpt.com/backend-api/codex`: both
    /// transports, frames up to 16 MiB, no stored responses (the server requires `store: false`),
    /// and a WebSocket that stops responding after an error. The server requires the account:
    ///
    /// ```
    /// use responses_client::Provider;
    ///
    /// let chatgpt = Provider::chatgpt().header("chatgpt-account-id", "an account");
    /// # drop(chatgpt);
    /// ```
    ///
    /// The turn state of the server is returned to it: see [`turn_state`](Self::turn_state). The
    /// server has headers for [the conversation](crate::ResponsesSession::set_conversation_id) and
    /// for [its source](crate::ResponsesSession::set_source).
    pub fn chatgpt() -> Self {
        CHATGPT.provider()
    }

    /// Returns the preset for GitHub Copilot, `https://api.githubcopilot.com`: SSE.
    pub fn copilot() -> Self {
        COPILOT.provider()
    }

    /// Returns the preset for Ollama on this machine, `http://localhost:11434/v1`: SSE, and no
    /// stored responses.
    pub fn ollama() -> Self {
        OLLAMA.provider()
    }

    /// Returns the preset for LM Studio on this machine, `http://localhost:1234/v1`: SSE.
    pub fn lm_studio() -> Self {
        LM_STUDIO.provider()
    }

    /// Returns the preset for vLLM, by its base URL: SSE, and no stored responses unless vLLM was
    /// started with a store.
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn vllm(base_url: &str) -> Result<Self, ConfigError> {
        VLLM.at(base_url)
    }

    /// Returns the preset for the server of llama.cpp on this machine, `http://localhost:8080/v1`:
    /// SSE, and no stored responses.
    pub fn llama_cpp() -> Self {
        LLAMA_CPP.provider()
    }

    /// Adds the path of `profile` if the base URL has none, or ends before it.
    fn complete(mut self, profile: &Profile) -> Self {
        let path = self.base.path().trim_matches('/').to_owned();
        let completed = match profile.path() {
            Some(known) if path.is_empty() => known.to_owned(),
            // The endpoints that Azure's portal shows.
            Some(known @ "openai/v1") if path == "openai" => known.to_owned(),
            Some(known) if path.starts_with("api/projects/") && !path.ends_with("/v1") => {
                format!("{path}/{known}")
            }
            _ => return self,
        };
        self.base.set_path(&completed);
        self
    }
}

impl Profile {
    /// Returns the provider by a base URL, or by the part of the base URL that differs from user to
    /// user.
    fn named(&self, name_or_url: &str) -> Result<Provider, ConfigError> {
        if name_or_url.contains("://") {
            return Ok(self.at(name_or_url)?.complete(self));
        }
        check_name(name_or_url)?;
        let url = self.base_url.replace("RESOURCE", name_or_url).replace("REGION", name_or_url);
        self.at(&url)
    }
}

/// Returns an error unless `name` can be a part of a host or of a path.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_name { Ok(()) } else { Err(ConfigError::BaseUrl("neither an absolute URL nor a name")) }
}

/// Returns the host of a URL, and its port too if the host is this machine.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match (super::provider::is_this_machine(url), url.port()) {
        (true, Some(port)) => format!("localhost:{port}"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
