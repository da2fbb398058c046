//! The command-line tool as a process.

use std::{ffi::OsStr, path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// What a run of the tool came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// The lines of its output.
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

/// A tool that is running. Dropping it kills it.
pub(crate) struct Tool {
    pub(crate) child: Child,
    /// Dropping it ends the tool's input.
    pub(crate) input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

/// The tool, with nothing of this process's environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_responses"));
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `responses run` against the server at `url`.
pub(crate) fn run(url: &str, args: &[&str]) -> Command {
    let mut command = command(&["run", "--base-url", url]);
    command.args(args);
    command
}

impl Tool {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the tool");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { input: child.stdin.take(), child, output }
    }

    pub(crate) async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("open");
        // A tool that has ended says why by itself.
        let _ = input.write_all(format!("{line}\n").as_bytes()).await;
        let _ = input.flush().await;
    }

    /// The next line of its output.
    pub(crate) async fn line(&mut self) -> Option<String> {
        super::guarded(self.output.next_line()).await.expect("UTF-8")
    }

    /// The next line that `wanted` wants.
    pub(crate) async fn line_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = value(&self.line().await.expect("more output"));
            if wanted(&line) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it is running").to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill").success());
    }

    /// The rest, once its input has ended.
    pub(crate) async fn end(mut self) -> Ran {
        self.input = None;
        self.ended().await
    }

    /// The rest, its input left open.
    pub(crate) async fn ended(mut self) -> Ran {
        let mut stderr = self.child.stderr.take().expect("piped");
        let mut said = String::new();
        let mut lines = Vec::new();
        let output = async {
            while let Some(line) = self.output.next_line().await.expect("UTF-8") {
                lines.push(line);
            }
        };
        super::guarded(async { tokio::join!(output, stderr.read_to_string(&mut said)) })
            .await
            .1
            .expect("UTF-8");
        let status = super::guarded(self.child.wait()).await.expect("a status");
        Ran { code: status.code(), lines, stderr: said }
    }
}

/// Runs it with these lines of input.
pub(crate) async fn ran(command: Command, input: &[impl AsRef<str>]) -> Ran {
    let mut tool = Tool::start(command);
    for line in input {
        tool.say(line.as_ref()).await;
    }
    tool.end().await
}

impl Ran {
    /// The lines of the events of a turn, from 1.
    pub(crate) fn events(&self, turn: u64) -> Vec<Value> {
        self.values().filter(|it| it["turn"] == turn && it.get("kind").is_some()).collect()
    }

    /// The lines that say what came of the turns.
    pub(crate) fn turns(&self) -> Vec<Value> {
        self.values().filter(|it| it.get("outcome").is_some()).collect()
    }

    fn values(&self) -> impl Iterator<Item = Value> {
        self.lines.iter().map(|line| value(line))
    }
}

pub(crate) fn value(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

/// A path for a file that the test makes; the file goes with it.
pub(crate) struct Temporary(pub(crate) PathBuf);

impl Temporary {
    pub(crate) fn new(name: impl AsRef<OsStr>) -> Self {
        let mut file = std::ffi::OsString::from(format!("{}-", std::process::id()));
        file.push(name);
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).expect("the file");
        text.lines().map(value).collect()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
