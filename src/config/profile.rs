//! Known servers: one table of their addresses and properties, and a preset for each.

use std::time::Duration;

use url::Url;

use super::{
    ConfigError, Provider,
    capabilities::{Capabilities, SessionHeaders},
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

const OPENAI: Profile = Profile {
    base_url: "https://api.openai.com/v1",
    hosts: &["api.openai.com", "*.api.openai.com"],
    capabilities: Capabilities { steer: true, ..Capabilities::OPENAI },
    headers: &[],
};

const AZURE: Profile = Profile {
    base_url: "https://RESOURCE.openai.azure.com/openai/v1",
    hosts: &["*.openai.azure.com", "*.openai.azure.us", "*.cognitiveservices.azure.com"],
    capabilities: Capabilities::OPENAI,
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
        ..Capabilities::OPENAI
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
        ..Capabilities::OPENAI
    },
    headers: &[],
};

const OPENROUTER: Profile =
    Profile { base_url: "https://openrouter.ai/api/v1", hosts: &["openrouter.ai"], ..BEDROCK };

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
        ..Capabilities::OPENAI
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
    ..BEDROCK
};

const LM_STUDIO: Profile =
    Profile { base_url: "http://localhost:1234/v1", hosts: &["localhost:1234"], ..COPILOT };

const VLLM: Profile = Profile { base_url: "http://localhost:8000/v1", hosts: &[], ..BEDROCK };

const LLAMA_CPP: Profile = Profile { base_url: "http://localhost:8080/v1", hosts: &[], ..BEDROCK };

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
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/providers.md");

    /// Returns all presets by the names of their methods, in the order of `PROFILES`.
    fn presets() -> [(&'static str, Provider); PROFILES.len()] {
        [
            ("openai", Provider::openai()),
            ("azure", Provider::azure("RESOURCE").unwrap()),
            ("foundry", Provider::foundry("RESOURCE").unwrap()),
            ("bedrock", Provider::bedrock("REGION").unwrap()),
            ("vertex", Provider::vertex("PROJECT", "LOCATION").unwrap()),
            ("xai", Provider::xai()),
            ("vercel", Provider::vercel()),
            ("openrouter", Provider::openrouter()),
            ("chatgpt", Provider::chatgpt()),
            ("copilot", Provider::copilot()),
            ("ollama", Provider::ollama()),
            ("lm_studio", Provider::lm_studio()),
            ("vllm", Provider::vllm(VLLM.base_url).unwrap()),
            ("llama_cpp", Provider::llama_cpp()),
        ]
    }

    /// Returns the row of a profile in the table of the page.
    fn row(name: &str, profile: &Profile) -> String {
        let Capabilities {
            websocket,
            stores_by_default,
            reuses_socket_after_error,
            frame_limit,
            max_age,
            turn_state,
            zstd,
            steer,
            interrupt,
            session_headers,
        } = profile.capabilities;
        let yes = |is: bool| if is { "yes" } else { "no" };
        let of_socket = |text: String| if websocket { text } else { "–".to_owned() };
        let codes = |names: &[&str]| match names {
            [] => "–".to_owned(),
            names => names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
        };
        let cells = [
            format!("`{name}`"),
            format!("`{}`", profile.base_url),
            codes(profile.hosts),
            if websocket { "WebSocket, SSE" } else { "SSE" }.to_owned(),
            yes(stores_by_default).to_owned(),
            of_socket(yes(reuses_socket_after_error).to_owned()),
            of_socket(frame_limit.map_or("–".to_owned(), |it| format!("{} MiB", it >> 20))),
            of_socket(max_age.map_or("–".to_owned(), |it| format!("{} min", it.as_secs() / 60))),
            yes(turn_state).to_owned(),
            yes(zstd).to_owned(),
            of_socket(yes(steer).to_owned()),
            of_socket(yes(interrupt).to_owned()),
            codes(session_headers.conversation),
            codes(session_headers.source),
        ];
        format!("| {} |", cells.join(" | "))
    }

    #[test]
    fn c270_the_page_on_providers_shows_the_table_of_the_code() {
        let named = presets().into_iter().zip(&PROFILES);
        let rows: Vec<_> = named.map(|((name, _), profile)| row(name, profile)).collect();
        let (_, table) = PAGE.split_once("# Presets\n").unwrap();
        let shown: Vec<_> =
            table.lines().skip_while(|line| !line.starts_with('|')).skip(2).collect();
        let shown: Vec<_> = shown.into_iter().take_while(|line| line.starts_with('|')).collect();
        assert_eq!(shown, rows, "the table should be:\n{}\n", rows.join("\n"));
    }

    #[test]
    fn each_preset_has_its_row() {
        for ((name, provider), profile) in presets().into_iter().zip(&PROFILES) {
            assert_eq!(provider, profile.provider(), "{name}");
            let moved = provider.clone().with_base_url("http://127.0.0.1:8/v1/").unwrap();
            assert_eq!(moved.url("responses").as_str(), "http://127.0.0.1:8/v1/responses");
            let back = moved.with_base_url(profile.base_url).unwrap();
            assert_eq!(back, provider, "the properties stay");
        }
        assert!(Provider::xai().with_base_url("api.x.ai").is_err());
    }

    #[test]
    fn c271_a_server_is_recognized_by_its_host() {
        let at = |url: &str| Provider::from_url(url).unwrap();
        let resource = Provider::azure("r").unwrap();
        for url in [
            "https://r.openai.azure.com",
            "https://r.openai.azure.com/",
            "https://r.openai.azure.com/openai",
            "https://R.OpenAI.Azure.com./openai/v1/",
        ] {
            let found = at(url);
            assert_eq!(found.capabilities, resource.capabilities, "{url}");
            assert!(found.address().ends_with("/openai/v1"), "{url}");
        }
        for (url, preset, address) in [
            ("https://api.openai.com", OPENAI, "https://api.openai.com/v1"),
            ("https://eu.api.openai.com/v1", OPENAI, "https://eu.api.openai.com/v1"),
            (
                "https://r.cognitiveservices.azure.com",
                AZURE,
                "https://r.cognitiveservices.azure.com/openai/v1",
            ),
            (
                "https://r.services.ai.azure.com/api/projects/p",
                FOUNDRY,
                "https://r.services.ai.azure.com/api/projects/p/openai/v1",
            ),
            (
                "https://bedrock-mantle.us-east-1.api.aws/v1",
                BEDROCK,
                "https://bedrock-mantle.us-east-1.api.aws/v1",
            ),
            (
                "https://aiplatform.googleapis.com/v1/x",
                VERTEX,
                "https://aiplatform.googleapis.com/v1/x",
            ),
            ("https://api.x.ai", XAI, "https://api.x.ai/v1"),
            ("https://ai-gateway.vercel.sh/v1", VERCEL, "https://ai-gateway.vercel.sh/v1"),
            ("https://openrouter.ai", OPENROUTER, "https://openrouter.ai/api/v1"),
            ("https://chatgpt.com", CHATGPT, "https://chatgpt.com/backend-api/codex"),
            (
                "https://api.business.githubcopilot.com",
                COPILOT,
                "https://api.business.githubcopilot.com",
            ),
            ("http://127.0.0.1:11434", OLLAMA, "http://127.0.0.1:11434/v1"),
            ("http://[::1]:1234/v1", LM_STUDIO, "http://[::1]:1234/v1"),
        ] {
            let found = at(url);
            assert_eq!(
                (found.capabilities, found.address()),
                (preset.capabilities, address.into())
            );
            assert_eq!(found.headers.len(), preset.headers.len(), "{url}");
        }
        for url in [
            "https://api.openai.com.evil.example/v1",
            "https://evilchatgpt.com",
            "https://openai.azure.com.example",
            "http://localhost:8000/v1",
            "https://x.example:11434/v1",
        ] {
            assert_eq!(at(url), Provider::compatible(url).unwrap(), "{url}");
        }
        assert!(Provider::from_url("api.openai.com").is_err());
    }

    #[test]
    fn c271_a_resource_is_given_by_its_name_or_its_url() {
        let address = |provider: Result<Provider, _>| provider.unwrap().address();
        assert_eq!(address(Provider::azure("r-1")), "https://r-1.openai.azure.com/openai/v1");
        assert_eq!(
            address(Provider::azure("https://r.openai.azure.com")),
            "https://r.openai.azure.com/openai/v1"
        );
        assert_eq!(
            address(Provider::azure("http://127.0.0.1:9/openai/v1")),
            "http://127.0.0.1:9/openai/v1"
        );
        assert_eq!(address(Provider::foundry("r")), "https://r.services.ai.azure.com/openai/v1");
        assert_eq!(
            address(Provider::bedrock("eu-west-1")),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"
        );
        assert_eq!(
            address(Provider::vertex("p", "global")),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/openai/v1"
        );
        assert_eq!(
            address(Provider::vertex("p", "us-east5")),
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/openai/v1"
        );
        for wrong in ["", "r.openai.azure.com", "a b", "r/../x"] {
            assert!(Provider::azure(wrong).is_err(), "{wrong}");
            assert!(Provider::vertex(wrong, "global").is_err(), "{wrong}");
        }
    }
}
