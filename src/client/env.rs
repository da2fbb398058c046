//! Settings of a client in the environment.

use std::ffi::OsString;

use super::{builder::ResponsesClientBuilder, handle::ResponsesClient};
use crate::{
    auth::Secret,
    config::{ConfigError, Provider},
    error::Error,
};

impl ResponsesClient {
    /// Returns a client with the settings of the environment and the defaults of all others. See
    /// [`builder_from_env`](Self::builder_from_env) for the variables.
    ///
    /// ```no_run
    /// # use responses_client::{Error, ResponsesClient};
    /// # fn new() -> Result<(), Error> {
    /// let client = ResponsesClient::from_env()?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`builder_from_env`](Self::builder_from_env) and
    /// [`build`](ResponsesClientBuilder::build).
    pub fn from_env() -> Result<Self, Error> {
        Self::builder_from_env()?.build()
    }

    /// Returns a builder with the settings of the environment. An empty variable counts as unset.
    ///
    /// | variable | setting | default |
    /// |---|---|---|
    /// | `OPENAI_API_KEY` | [`auth`](ResponsesClientBuilder::auth) | none: the variable is required |
    /// | `OPENAI_BASE_URL` | the [`Provider`], with the properties of [`Provider::openai`] | `https://api.openai.com/v1` |
    /// | `OPENAI_ORG_ID` | [`organization`](ResponsesClientBuilder::organization) | none |
    /// | `OPENAI_PROJECT_ID` | [`project`](ResponsesClientBuilder::project) | none |
    ///
    /// ```no_run
    /// # use responses_client::{Error, ResponsesClient, TransportPolicy};
    /// # fn new() -> Result<(), Error> {
    /// let client =
    ///     ResponsesClient::builder_from_env()?.transport(TransportPolicy::SseOnly).build()?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) with
    /// [`ConfigError::Variable`](crate::error::ConfigError::Variable), which names the variable, if
    /// `OPENAI_API_KEY` is not set or a value is invalid.
    pub fn builder_from_env() -> Result<ResponsesClientBuilder, Error> {
        Ok(builder(|name| std::env::var_os(name))?)
    }
}

/// Returns a builder with the settings that `variable` returns.
fn builder(
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<ResponsesClientBuilder, ConfigError> {
    let find = |name| match variable(name).filter(|value| !value.is_empty()) {
        Some(value) => value.into_string().map(Some).map_err(|_| invalid(name, "is not UTF-8")),
        None => Ok(None),
    };
    const KEY: &str = "OPENAI_API_KEY";
    let key = find(KEY)?.map(Secret::from);
    let key = key.ok_or_else(|| invalid(KEY, "is not set, or empty: set it to the API key"))?;
    if let Some(fault) = key.fault() {
        return Err(invalid(KEY, fault));
    }
    const URL: &str = "OPENAI_BASE_URL";
    let provider = match find(URL)? {
        Some(url) => Provider::openai().with_base_url(&url).map_err(|error| match error {
            ConfigError::BaseUrl(fault) => invalid(URL, &format!("is invalid, {fault}")),
            error => error,
        })?,
        None => Provider::openai(),
    };
    let mut builder = ResponsesClient::builder().provider(provider).api_key(key);
    if let Some(id) = find("OPENAI_ORG_ID")? {
        builder = builder.organization(id);
    }
    if let Some(id) = find("OPENAI_PROJECT_ID")? {
        builder = builder.project(id);
    }
    Ok(builder)
}

fn invalid(name: &'static str, fault: &str) -> ConfigError {
    ConfigError::Variable { name, fault: fault.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds with the given variables, and returns the settings or the error as text.
    fn built(variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| OsString::from(value))
        };
        builder(variable).map(|it| format!("{it:?} {:?}", it.headers)).map_err(|it| it.to_string())
    }

    const KEY: (&str, &str) = ("OPENAI_API_KEY", "sk-canary");

    #[test]
    fn c190_each_variable_sets_what_it_names() {
        let settings = built(&[
            KEY,
            ("OPENAI_BASE_URL", "http://localhost:8000/v1/"),
            ("OPENAI_ORG_ID", "org_1"),
            ("OPENAI_PROJECT_ID", "proj_1"),
        ]);
        let settings = settings.unwrap();
        assert!(settings.contains(r#"Provider("http://localhost:8000/v1")"#), "{settings}");
        let headers = r#"[("OpenAI-Organization", "org_1"), ("OpenAI-Project", "proj_1")]"#;
        assert!(settings.ends_with(headers), "{settings}");
        assert!(settings.contains("Bearer") && !settings.contains("canary"), "{settings}");
        let empty = ["OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"].map(|it| (it, ""));
        let settings = built(&[&[KEY], &empty[..]].concat()).unwrap();
        assert!(settings.contains(r#"Provider("https://api.openai.com/v1")"#), "{settings}");
        assert!(settings.ends_with("[]"), "{settings}");
    }

    #[test]
    fn c190_an_error_names_the_variable() {
        let missing =
            "the environment variable `OPENAI_API_KEY` is not set, or empty: set it to the API key";
        assert_eq!(built(&[]).unwrap_err(), missing);
        assert_eq!(built(&[("OPENAI_API_KEY", "")]).unwrap_err(), missing);
        assert_eq!(
            built(&[("OPENAI_API_KEY", "sk-canary\n")]).unwrap_err(),
            "the environment variable `OPENAI_API_KEY` has a line break, remove it"
        );
        assert_eq!(
            built(&[KEY, ("OPENAI_BASE_URL", "localhost/v1")]).unwrap_err(),
            "the environment variable `OPENAI_BASE_URL` is invalid, not an absolute URL"
        );
    }
}
