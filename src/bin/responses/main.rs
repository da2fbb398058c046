//! `responses`: turns from standard input, and a scripted server, on the command line.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "as in the library: whoever reads the output waits for an answer, not for a panic"
)]

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use stop::Stop;

mod line;
mod run;
mod serve;
mod stop;

/// Runs turns of the OpenAI Responses API over one incremental WebSocket or over SSE, or a
/// scripted server of both.
#[derive(Parser)]
#[command(name = "responses", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Serve(serve::Args),
}

const AFTER_HELP: &str = "\
Examples:
  echo '{\"model\":\"gpt-6-astra\",\"input\":\"Say hi\"}' | responses run
  responses serve --port 8080

Exit status of both: 0 if all went well, 1 if a turn failed, 2 for bad usage or a bad line.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Sockets are read on a thread of their own, whatever the output is waiting for; on one, so that
    // a connection is back in its pool before the next turn asks for one.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return bad(&format!("no threads could be started: {error}"));
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Serve(args) => serve::serve(args).await,
        }
    });
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(Stop::Unread) => ExitCode::FAILURE,
        Err(Stop::Bad(why)) => bad(&why),
        Err(Stop::Interrupted) => ExitCode::from(130),
    }
}

fn bad(why: &str) -> ExitCode {
    // The exit status says it too, if nobody hears this.
    let _ = writeln!(io::stderr(), "responses: {why}");
    ExitCode::from(2)
}
