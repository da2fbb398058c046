//! Arguments of `run`, and the input and the output that they choose.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use responses_client::TransportPolicy;
use serde::Serialize;

use crate::{client_args::ClientArgs, notes::note, stop::Stop};

/// Runs turns in one session, or in several, and writes JSON lines or text to standard output
///
/// The input is a stream of JSON objects, one after the other, on one line or on many. Each is the
/// full request body of a turn. An object {"$append":[{..},..]} repeats the previous request,
/// followed by the output of its turn (unless the turn failed) and by the items of this list. With
/// --model, the argument is not a file, but the text of one request.
///
/// Each event is a line {"turn":1,"event":{..},"kind":"output_text_delta"}. Each turn ends with a
/// line that contains its outcome. The answer to a prompt is text if standard output is a terminal.
///
/// With --sessions, each file is a conversation of its own. All of them run at the same time, on lanes
/// of the same WebSockets where the server has lanes. Each line then also has its "session", which is
/// the file, and the "lane" of its WebSocket.
///
/// Failed attempts and fallbacks are reported on standard error.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// File with requests, or with --model a prompt; none or `-` is standard input
    #[arg(value_name = "FILE|PROMPT", value_hint = clap::ValueHint::FilePath)]
    input: Option<OsString>,

    /// Files with requests, each for a session of its own, which all run at the same time
    /// [default: one session]
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["input", "model", "text", "record"],
        value_hint = clap::ValueHint::FilePath
    )]
    pub(super) sessions: Vec<PathBuf>,

    /// Model that answers the prompt, which must then be given
    #[arg(short, long, value_name = "NAME", requires = "input")]
    model: Option<String>,

    /// Write JSON lines [default: off for a prompt on a terminal, else on]
    #[arg(long, conflicts_with = "text")]
    json: bool,

    /// Write only the text of the answers [default: on for a prompt on a terminal, else off]
    #[arg(long)]
    text: bool,

    /// Transports to use
    #[arg(long, default_value = "auto")]
    pub(super) transport: TransportName,

    #[command(flatten)]
    pub(super) client: ClientArgs,

    /// End the run at the first turn that fails [default: off]
    #[arg(long)]
    pub(super) fail_fast: bool,

    /// Record the received events with their times, for `serve --script` [default: no recording]
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Omit the JSON lines of the events [default: off]
    #[arg(long)]
    pub(super) quiet: bool,

    /// Report on standard error also what is sent and received; -vv adds log lines
    ///
    /// RUST_LOG sets the filter of the log lines, for example RUST_LOG=responses_client=trace.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

const AFTER_HELP: &str = "\
Examples:
  responses run --model gpt-6-astra 'Say hi'
  echo '{\"model\":\"gpt-6-astra\",\"input\":\"Say hi\"}' | responses run
  responses run --quiet --transport websocket --record run.jsonl turns.jsonl
  responses run --quiet --sessions one.jsonl two.jsonl three.jsonl
  responses run --provider ollama --timeout-turn 90 turns.jsonl
  responses run --base-url http://127.0.0.1:8080/v1 --header 'X-Trace: 7' <turns.jsonl

Examples of times: 90, 0.5, 500ms, 1m 30s. A number without a unit is in seconds.

Exit status: 0 if all turns completed or were incomplete, 1 if a turn failed (the turns after it
are still run, unless --fail-fast is given), 2 for bad usage or bad input (the output of the turns
before it stands). With --sessions, these hold for all sessions together: bad input and --fail-fast
end the turns of the other sessions, too.";

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum TransportName {
    /// WebSocket where it works, SSE otherwise
    Auto,
    /// WebSocket only
    Websocket,
    /// SSE only
    Sse,
}

impl TransportName {
    pub(super) fn policy(self) -> TransportPolicy {
        match self {
            Self::Auto => TransportPolicy::Auto,
            Self::Websocket => TransportPolicy::WebSocketOnly,
            Self::Sse => TransportPolicy::SseOnly,
        }
    }
}

/// Requests to run.
pub(super) enum Source {
    /// A stream of JSON objects, and the name of its file, if it is not standard input.
    Requests(Box<dyn Read + Send>, Option<PathBuf>),
    /// The body of one request.
    Prompt(String),
}

/// Form of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
}

impl Args {
    /// Returns the requests of each session, with the name of the session if there are several.
    pub(super) fn sources(&self) -> Result<Vec<(Option<String>, Source)>, Stop> {
        if self.sessions.is_empty() {
            return Ok(vec![(None, self.source()?)]);
        }
        let mut sources: Vec<(Option<String>, Source)> = Vec::new();
        for path in &self.sessions {
            let name = path.display().to_string();
            // The lines of two sessions with the same name could not be told apart.
            if sources.iter().any(|(other, _)| other.as_deref() == Some(&name)) {
                return Err(Stop::Bad(format!("{name} is given twice to --sessions")));
            }
            let file = File::open(path).map_err(|error| not_opened(path, &error, ""))?;
            let source = Source::Requests(Box::new(file), Some(path.clone()));
            sources.push((Some(name), source));
        }
        Ok(sources)
    }

    /// Returns the requests of the only session.
    fn source(&self) -> Result<Source, Stop> {
        let input = self.input.as_deref().filter(|it| *it != "-");
        if input.is_none() && io::stdin().is_terminal() {
            note(match self.model {
                Some(_) => "reading the prompt from standard input; ctrl-d ends it",
                None => "reading requests from standard input, as JSON objects; ctrl-d ends them",
            });
        }
        match (&self.model, input) {
            (Some(model), Some(text)) => {
                if Path::new(text).is_file() {
                    let file = text.display();
                    note(&format!("`{file}` is sent as the prompt; to run the file, omit --model"));
                }
                let text = text.to_str().ok_or("the prompt is not valid UTF-8");
                prompt(model, text.map_err(|why| Stop::Bad(why.to_owned()))?)
            }
            (Some(model), None) => {
                let text = io::read_to_string(io::stdin());
                let text = text.map_err(|error| {
                    Stop::Bad(format!("could not read the prompt from standard input: {error}"))
                })?;
                prompt(model, &text)
            }
            (None, Some(path)) => open(Path::new(path)),
            (None, None) => Ok(Source::Requests(Box::new(io::stdin()), None)),
        }
    }

    /// Returns the form of the output.
    pub(super) fn form(&self) -> Form {
        let by_default = self.model.is_some() && !self.json && io::stdout().is_terminal();
        if self.text || by_default { Form::Text } else { Form::Json }
    }
}

/// Returns a request with this prompt.
fn prompt(model: &str, input: &str) -> Result<Source, Stop> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        input: &'a str,
    }
    let body = serde_json::to_string(&Body { model, input });
    body.map(Source::Prompt).map_err(|error| Stop::Bad(error.to_string()))
}

fn open(path: &Path) -> Result<Source, Stop> {
    match File::open(path) {
        Ok(file) => Ok(Source::Requests(Box::new(file), Some(path.to_owned()))),
        Err(error) => Err(not_opened(path, &error, " (a prompt needs --model)")),
    }
}

fn not_opened(path: &Path, error: &io::Error, advice: &str) -> Stop {
    Stop::Bad(format!("could not open {}: {error}{advice}", path.display()))
}
