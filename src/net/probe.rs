//! Facts about the way to a server, for diagnosis.

use std::time::Duration;

use serde::Serialize;

use super::NetError;
use crate::{error::ConnectStep, format::milliseconds};

/// Way to a server: the proxy, and the settings that chose it. Holds no credential.
///
/// ```
/// use responses_client::probe::Route;
///
/// fn describe(route: &Route) -> String {
///     match (&route.proxy, &route.setting) {
///         (Some(proxy), Some(setting)) => format!("through {proxy}, from {setting}"),
///         (Some(proxy), None) => format!("through {proxy}"),
///         (None, _) => "direct".to_owned(),
///     }
/// }
/// # let _ = describe;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Route {
    /// Host and port of the proxy; `None` for a direct connection.
    pub proxy: Option<String>,
    /// Scheme of the URL of the proxy, for example `http` or `socks5h`; `None` for a direct
    /// connection.
    pub scheme: Option<&'static str>,
    /// Variable, or the settings of the system, that name a proxy; `None` if the caller set the
    /// proxy, or if there is none.
    pub setting: Option<&'static str>,
    /// `true` if the proxy gets a user name and a password.
    pub has_login: bool,
    /// Variables that name a proxy for the same URL, and that `setting` overrides.
    pub overridden: Vec<&'static str>,
    /// Variable that lists hosts without a proxy, if a proxy is named; `None` without one.
    pub exemptions: Option<&'static str>,
    /// Entry of `exemptions` that exempts the server.
    pub exempted_by: Option<String>,
    /// Entries of `exemptions` that match no host.
    pub ignored_exemptions: Vec<String>,
}

/// Step of opening a connection that succeeded.
///
/// ```
/// use responses_client::probe::ProbeStep;
///
/// fn line(step: &ProbeStep) -> String {
///     format!("{} {:.1?}", step.step, step.time)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProbeStep {
    /// The step.
    pub step: ConnectStep,
    /// Time of the step. Serializes as `ms`, in milliseconds.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub time: Duration,
    /// Finding: the addresses of a name, or the version of TLS and the issuer of the certificate.
    pub detail: Option<String>,
}

/// Outcome of opening a connection.
#[derive(Debug, Default)]
pub(crate) struct NetProbe {
    pub(crate) route: Route,
    pub(crate) steps: Vec<ProbeStep>,
    /// Error of the step that failed.
    pub(crate) error: Option<NetError>,
}

/// Records the steps of opening a connection.
#[derive(Debug, Default)]
pub(super) struct Recorder(Option<Vec<ProbeStep>>);

impl Recorder {
    /// Returns a recorder that records.
    pub(super) fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// Returns `true` if the details of a step are wanted.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn add(&mut self, step: ConnectStep, time: Duration) {
        if let Some(steps) = &mut self.0 {
            steps.push(ProbeStep { step, time, detail: None });
        }
    }

    /// Adds a detail to the last step.
    pub(super) fn describe(&mut self, detail: String) {
        if let Some(step) = self.0.as_mut().and_then(|steps| steps.last_mut()) {
            step.detail = Some(detail);
        }
    }

    pub(super) fn into_steps(self) -> Vec<ProbeStep> {
        self.0.unwrap_or_default()
    }
}
