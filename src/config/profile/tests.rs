use super::*;

const PAGE: &str = include_str!("../../../docs/providers.md");

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
        named_lanes,
        active_responses,
        turn_state,
        zstd,
        steer,
        inject,
        interrupt,
        session_headers,
        // They have a table of their own.
        operations: _,
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
        of_socket(match named_lanes {
            0 => "1".to_owned(),
            lanes => format!("{lanes} + 1, {active_responses} active"),
        }),
        yes(turn_state).to_owned(),
        yes(zstd).to_owned(),
        of_socket(yes(steer).to_owned()),
        of_socket(yes(inject).to_owned()),
        of_socket(yes(interrupt).to_owned()),
        codes(session_headers.conversation),
        codes(session_headers.source),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Asserts that the first table below a heading of the page has these rows.
fn assert_shown(heading: &str, rows: &[String]) {
    let (_, table) = PAGE.split_once(&format!("# {heading}\n")).unwrap();
    let shown: Vec<_> = table.lines().skip_while(|line| !line.starts_with('|')).skip(2).collect();
    let shown: Vec<_> = shown.into_iter().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(shown, rows, "the table should be:\n{}\n", rows.join("\n"));
}

#[test]
fn c270_the_page_on_providers_shows_the_table_of_the_code() {
    let named = presets().into_iter().zip(&PROFILES);
    let rows: Vec<_> = named.map(|((name, _), profile)| row(name, profile)).collect();
    assert_shown("Presets", &rows);
}

#[test]
fn c286_the_page_on_providers_shows_the_operations_of_each_server() {
    const ALL: [Operation; 8] = [
        Operation::Retrieve,
        Operation::Cancel,
        Operation::Delete,
        Operation::InputItems,
        Operation::InputTokens,
        Operation::Compact,
        Operation::Models,
        Operation::Background,
    ];
    let cells = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let rows: Vec<_> = presets()
        .iter()
        .map(|(name, provider)| {
            let supports = ALL.iter().map(|operation| provider.support(*operation).as_str());
            let name = format!("`{name}`");
            cells([name].into_iter().chain(supports.map(str::to_owned)).collect())
        })
        .collect();
    assert_shown("Operations besides turns", &rows);
    let names = ALL.iter().map(|operation| format!("`{operation}`"));
    let head = cells(["preset".to_owned()].into_iter().chain(names).collect());
    assert!(PAGE.contains(&head), "{head}");
}

#[test]
fn c286_the_operations_of_another_server_are_unknown_until_they_are_set() {
    let other = Provider::from_url("https://gateway.example/v1").unwrap();
    assert_eq!(other.support(Operation::Models), Support::Unknown);
    let other = other.operation(Operation::Models, true).operation(Operation::Cancel, false);
    let other = other.with_base_url("https://b.example/v1").unwrap();
    assert_eq!(other.support(Operation::Models), Support::Yes);
    assert_eq!(other.support(Operation::Cancel), Support::No);
    assert_eq!(other.support(Operation::Delete), Support::Unknown);
    let by_host = Provider::from_url("https://api.openai.com").unwrap();
    assert_eq!(by_host.support(Operation::Compact), Support::Yes);
}

#[test]
fn each_preset_has_its_row() {
    for ((name, provider), profile) in presets().into_iter().zip(&PROFILES) {
        assert_eq!(provider, profile.provider(), "{name}");
        let moved = provider.clone().with_base_url("http://127.0.0.1:8/v1/").unwrap();
        assert_eq!(moved.url("responses").as_str(), "http://127.0.0.1:8/v1/responses");
        let back = moved.with_base_url(profile.base_url).unwrap();
        let Capabilities { named_lanes, active_responses, .. } = provider.capabilities;
        let back = back.named_lanes(named_lanes).active_responses(active_responses);
        assert_eq!(back, provider, "all other properties stay");
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
        assert_eq!((found.capabilities, found.address()), (preset.capabilities, address.into()));
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
