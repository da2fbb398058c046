//! Tokens that a command prints.

use std::{process::Stdio, sync::Arc};

use tokio::{process::Command, time::timeout};

use super::{Auth, secret::Secret};
use crate::config::{ConfigError, codex::TokenCommand};

impl Auth {
    /// Returns authentication with the token that `command` prints. `in_file` adds the place of the
    /// command to a fault.
    pub(crate) fn command(
        command: TokenCommand,
        in_file: impl Fn(String) -> ConfigError + Send + Sync + 'static,
    ) -> Self {
        let command = Arc::new((command, in_file));
        Self::provider_fn(move || {
            let command = Arc::clone(&command);
            async move {
                let (command, in_file) = &*command;
                let token = run(command).await;
                Ok(token.map_err(|fault| in_file(format!("the command of `auth` {fault}")))?)
            }
        })
    }
}

/// Returns the token that the command prints. An error is a predicate; it has nothing of the output,
/// which may contain credentials.
async fn run(command: &TokenCommand) -> Result<Secret, String> {
    let mut process = Command::new(&command.program);
    process.args(&command.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // The process ends with the last turn that waits for its token.
    process.kill_on_drop(true);
    if let Some(folder) = &command.cwd {
        process.current_dir(folder);
    }
    let output = match timeout(command.timeout, process.output()).await {
        Ok(output) => output.map_err(|error| format!("could not be started: {error}"))?,
        Err(_) => return Err(format!("did not end within {:?}", command.timeout)),
    };
    if !output.status.success() {
        let status = output.status;
        return Err(format!("failed ({status}): run it in a terminal to see its messages"));
    }
    let text = String::from_utf8(output.stdout);
    let text = text.map_err(|_| "printed a token that is not UTF-8".to_owned())?;
    let token = Secret::from(text.trim());
    match token.fault() {
        _ if text.trim().is_empty() => Err("printed no token".to_owned()),
        Some(fault) => Err(format!("printed a token that {fault}")),
        None => Ok(match command.refresh_after {
            Some(time) => token.expires_in(time),
            None => token,
        }),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;

    fn shell(script: &str) -> TokenCommand {
        TokenCommand {
            program: "sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            timeout: Duration::from_secs(9),
            refresh_after: None,
            cwd: None,
        }
    }

    #[tokio::test]
    async fn c182_a_command_prints_the_token_in_its_folder() {
        let token = run(&shell("echo; echo ' token-1 '; echo canary >&2")).await;
        assert_eq!(token, Ok(Secret::from("token-1")));
        let root = TokenCommand { cwd: Some(PathBuf::from("/")), ..shell("pwd") };
        assert_eq!(run(&root).await, Ok(Secret::from("/")));
    }

    #[tokio::test]
    async fn c182_a_command_that_fails_is_told_without_its_output() {
        let missing = TokenCommand { program: "/no/such/command".into(), ..shell("") };
        let slow = TokenCommand { timeout: Duration::from_millis(50), ..shell("sleep 60") };
        for (command, fault) in [
            (
                shell("echo canary; echo canary >&2; exit 3"),
                "failed (exit status: 3): run it in a terminal to see its messages",
            ),
            (shell("echo"), "printed no token"),
            (shell("echo canary; echo canary"), "printed a token that has a line break, remove it"),
            (shell(r"printf '\377'"), "printed a token that is not UTF-8"),
            (slow, "did not end within 50ms"),
            (missing, "could not be started: No such file or directory (os error 2)"),
        ] {
            assert_eq!(run(&command).await, Err(fault.to_owned()));
        }
    }
}
