//! `responses`: a command-line tool that runs turns, or a scripted server.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "as in the library: the reader of the output expects a result or an error line"
)]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use completions::{CompletionsArgs, ManArgs};
use stop::Stop;

mod bench;
mod client_args;
mod completions;
mod doctor;
mod line;
mod logging;
mod notes;
mod provider_name;
mod run;
mod serve;
mod stop;

/// Runs turns of the OpenAI Responses API over one incremental WebSocket or over SSE, runs a
/// scripted server of both, measures what each of them costs, or finds out why they do not work.
#[derive(Parser)]
#[command(name = "responses", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Serve(serve::Args),
    Bench(Box<bench::Args>),
    Doctor(Box<doctor::Args>),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

const AFTER_HELP: &str = "\
Examples:
  responses run --model gpt-6-astra 'Say hi'
  echo '{\"model\":\"gpt-6-astra\",\"input\":\"Say hi\"}' | responses run
  responses serve --port 8080
  responses bench --preset transcontinental
  responses doctor

Exit status: 0 if all went well, 1 if a turn failed, 2 for bad usage or bad input.";

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => on_runtime(run::run(*args)),
        Command::Serve(args) => on_runtime(serve::serve(args)),
        Command::Doctor(args) => on_runtime(doctor::doctor(*args)),
        // Its runtimes have clocks of their own.
        Command::Bench(args) => bench::bench(&args),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
        Command::Man(args) => completions::man(&args, Cli::command()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(Stop::Unread) => ExitCode::FAILURE,
        Err(Stop::Failed(why)) => {
            notes::error(&why);
            ExitCode::FAILURE
        }
        Err(Stop::Bad(why)) => {
            notes::error(&why);
            ExitCode::from(2)
        }
        Err(Stop::Unusable) => ExitCode::from(2),
        Err(Stop::Interrupted) => ExitCode::from(130),
    }
}

/// Runs a command that talks to clients or servers.
fn on_runtime(command: impl Future<Output = Result<bool, Stop>>) -> Result<bool, Stop> {
    // A worker thread reads the sockets even while the main thread blocks on the output. There is
    // only one worker, so that a connection is back in its pool before the next turn needs one.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let runtime =
        runtime.map_err(|error| Stop::Bad(format!("could not start the runtime: {error}")))?;
    let ended = runtime.block_on(command);
    // A DNS lookup in progress must not delay the exit.
    runtime.shutdown_background();
    ended
}
