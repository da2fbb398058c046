//! The names of all public enums.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Display},
    fs,
    path::Path,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::milliseconds;
#[cfg(feature = "deflate")]
use crate::config::DeflatePolicy;
use crate::{
    InputErrorKind,
    api::ErrorCode,
    config::{
        AtCapacity, ContinuationPolicy, Operation, ReplayPolicy, Sharing, Support, Transport,
        TransportPolicy,
    },
    error::{ConnectStep, RetryAction},
    event::{EventKind, MessagePhase},
    kind::{Delivery, ErrorKind, Phase},
    proto::route::FallbackKind,
    report::{Anomaly, FullSendReason, Plan, Prewarm, PrewarmFailure, Warning},
    response::ResponseStatus,
};

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

#[derive(Serialize)]
struct Times {
    #[serde(serialize_with = "milliseconds")]
    total: Duration,
    #[serde(serialize_with = "milliseconds")]
    part: Option<Duration>,
}

#[test]
fn times_are_milliseconds_with_microseconds() {
    let times = Times { total: Duration::from_nanos(1_234_567), part: None };
    assert_eq!(json_of(&times), json!({"total": 1.235, "part": null}));
}

/// Public enums that are not named, each for its reason.
const NOT_NAMED: &[&str] = &[
    // Errors, whose `Display` is a sentence.
    "ConfigError",
    "OutputError",
    "ProtocolError",
    "RequestError",
    // Reasons, which the sentence of an error contains.
    "ConnectError",
    "ProxyError",
    "TlsError",
    // Settings that may hold a credential.
    "Auth",
    "ProxySetting",
    // A setting whose form is JSON.
    "ToolChoice",
    // Values of the wire. An event serializes as received, and an item as its `Item`.
    "ResponseEvent",
    "OutputItem",
    "ToolOutput",
    // A state whose data is input of the caller.
    "InjectState",
    "SteerState",
];

/// The public enums of the library and their variants, from its sources. Enums that a table expands
/// to have no variants here.
fn public_enums(folder: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            // The scripted server has a vocabulary of its own, and the tool is not the library.
            if !path.ends_with("testing") && !path.ends_with("bin") {
                public_enums(&path, found);
            }
            continue;
        }
        let text = fs::read_to_string(&path).expect("a text");
        for item in syn::parse_file(&text).expect("Rust").items {
            if let syn::Item::Enum(item) = item
                && matches!(item.vis, syn::Visibility::Public(_))
            {
                let variants = item.variants.iter().map(|variant| variant.ident.to_string());
                found.insert(item.ident.to_string(), variants.collect());
            }
        }
        for name in text.lines().filter_map(|line| line.strip_prefix("        pub enum ")) {
            let name = name.trim_end_matches(" {");
            if !name.starts_with('$') {
                found.entry(name.to_owned()).or_default();
            }
        }
    }
}

/// Checks the names of all variants of an enum, and removes the enum from those to check.
fn check_names<T: Debug + Display + Serialize>(
    enums: &mut BTreeMap<String, BTreeSet<String>>,
    name: &str,
    as_str: impl Fn(&T) -> String,
    values: impl IntoIterator<Item = T>,
) {
    let mut variants = enums.remove(name).unwrap_or_else(|| panic!("{name} is public"));
    let is_expanded = variants.is_empty();
    for value in values {
        let (known, shown, json) = (as_str(&value), value.to_string(), json_of(&value));
        assert!(!known.is_empty() && !known.contains(char::is_whitespace), "{value:?}");
        match json {
            Value::String(json) => assert_eq!((&shown, &json), (&known, &known), "{value:?}"),
            json => {
                assert_eq!(json["kind"], known, "{value:?}");
                let detail = shown.strip_prefix(known.as_str()).expect("the name comes first");
                let has_data = json.as_object().expect("an object").len() > 1;
                assert!(has_data || detail.is_empty(), "{value:?} is shown as {shown}");
            }
        }
        let debug = format!("{value:?}");
        let variant = debug.split(|c: char| !c.is_alphanumeric()).next().expect("a name");
        assert!(is_expanded || variants.remove(variant), "{debug} is listed twice");
    }
    assert!(variants.is_empty(), "{name}: {variants:?} are not checked");
}

macro_rules! check {
    ($enums:ident: $($name:ident [$($value:expr),* $(,)?])*) => {$(
        check_names(
            &mut $enums,
            stringify!($name),
            |value: &$name| value.as_str().to_owned(),
            { use $name::*; [$($value),*] },
        );
    )*};
}

#[test]
fn c197_the_names_of_every_public_enum_agree() {
    let mut enums = BTreeMap::new();
    public_enums(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut enums);
    for name in NOT_NAMED {
        assert!(enums.remove(*name).is_some(), "{name} is no public enum");
    }
    let other = || "brand_new".to_owned();
    let output_index = 7;
    #[cfg(feature = "deflate")]
    check! { enums: DeflatePolicy [Off, Offer] }
    #[cfg(not(feature = "deflate"))]
    enums.remove("DeflatePolicy");
    check! { enums:
        EventKind [Created, OutputTextDelta, ErrorEvent, Unknown, Restarted, Steered]
        ErrorCode [RateLimitExceeded, ErrorCode::Other(other())]
        ErrorKind [
            InvalidRequest, InvalidConfig, Auth, Connect, Tls, Proxy, ProxyAuthentication, Timeout,
            UpgradeRefused, Api, Closed, Truncated, Protocol, TooLarge, FellBehind, PoolFull,
            Superseded, SessionClosed, Stopped, NoRuntime, Decode,
        ]
        Phase [Prepare, Connect, Send, FirstEvent, Events]
        Delivery [NotSent, Refused, Unknown, Accepted, OutputStarted]
        Transport [WebSocket, Sse]
        ConnectStep [Dns, Tcp, ProxyTls, Proxy, Tls]
        TransportPolicy [Auto, WebSocketOnly, SseOnly]
        ContinuationPolicy [Strict, AllowNewInstructions]
        ReplayPolicy [Never, BeforeCreated, BeforeOutput, Restart]
        Sharing [Auto, OwnSocket, Lanes]
        AtCapacity [OpenSocket, Wait, Sse]
        Operation [
            Retrieve, Cancel, Delete, InputItems, InputTokens, Compact, Models, Background,
        ]
        Support [Yes, No, Unknown]
        FallbackKind [Unsupported, Transient]
        ResponseStatus [
            Completed, Incomplete, Failed, InProgress, Queued, Cancelled,
            ResponseStatus::Other(other()),
        ]
        MessagePhase [Commentary, FinalAnswer, MessagePhase::Other(other())]
        RetryAction [
            Retry, RetryMayRepeat, Reauthenticate, ChangeRequest,
            Reconfigure, Stop,
        ]
        Plan [Incremental { new_items: 2 }, Full(FullSendReason::FirstTurn)]
        Warning [InputTransformed { items: 2, reasons: vec![other()] }]
        InputErrorKind [Unsupported, NotRunning, InvalidInput, TooMany, TooLarge]
        Prewarm [Connected, Warmed, Failed(PrewarmFailure::Unused)]
        PrewarmFailure [Error(ErrorKind::Tls), TimedOut, Generated, Refused, Unused]
        FullSendReason [
            FirstTurn, ModelChanged, ToolsChanged, InstructionsChanged, FieldChanged(other()),
            PrefixDiverged { at: 7 }, InputShorter, NothingNew, PriorNotCompleted,
            ConnectionChanged, ParentNotFound, ParentAmbiguous, CallerManaged, ProviderUnsupported,
            SseContinuationOff, Disabled,
        ]
        Anomaly [
            ResponseId, ItemId { output_index }, ItemType { output_index },
            DuplicateItemId { output_index }, OutputIndexShared { output_index },
            ItemFinishedTwice { output_index }, OutputMissing, ResponseRestarted,
            ItemChanged { output_index }, ItemMissing { output_index },
            ItemUnfinished { output_index }, CallRepeated, LateEvents,
            UnknownEvent { event: other() },
        ]
    }
    assert!(enums.is_empty(), "neither named nor listed with a reason: {enums:?}");
}

#[test]
fn c197_data_is_beside_the_name() {
    let reason = FullSendReason::PrefixDiverged { at: 7 };
    let shown = json_of(&Plan::Full(reason));
    assert_eq!(shown, json!({"kind": "full", "reason": {"kind": "prefix_diverged", "at": 7}}));
    let shown = json_of(&Plan::Incremental { new_items: 2 });
    assert_eq!(shown, json!({"kind": "incremental", "new_items": 2}));
    let shown = json_of(&Prewarm::Failed(PrewarmFailure::Error(ErrorKind::Tls)));
    assert_eq!(shown, json!({"kind": "failed", "reason": {"kind": "error", "error": "tls"}}));
    let names = ["response.output_text.delta", "response.created", "error", "ping"];
    assert_eq!(names.map(|name| EventKind::from(name).as_str()), names);
}
