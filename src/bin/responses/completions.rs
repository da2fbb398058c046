//! `responses completions` and `responses man`: shell completions and man pages.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use crate::stop::Stop;

/// Writes completions for a shell to standard output
#[derive(clap::Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Shell that reads the completions
    shell: Shell,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  responses completions bash >~/.local/share/bash-completion/completions/responses
  responses completions zsh >~/.zfunc/_responses    # with ~/.zfunc in $fpath
  responses completions fish >~/.config/fish/completions/responses.fish";

/// Writes a man page to standard output
#[derive(clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// Command to describe, for example `run` [default: all, with a line for each]
    command: Option<String>,
}

const MAN_EXAMPLES: &str = "\
Examples:
  responses man run | man -l -
  responses man >~/.local/share/man/man1/responses.1
  responses man run >~/.local/share/man/man1/responses-run.1";

/// Writes completions of `tool` to standard output.
pub(crate) fn completions(args: &CompletionsArgs, mut tool: Command) -> Result<bool, Stop> {
    // `generate` panics if it cannot write; writing to a `Vec` cannot fail.
    let mut text = Vec::new();
    let name = tool.get_name().to_owned();
    clap_complete::generate(args.shell, &mut tool, name, &mut text);
    print(&text)
}

/// Writes the man page of `tool`, or of a command of it, to standard output.
pub(crate) fn man(args: &ManArgs, tool: Command) -> Result<bool, Stop> {
    let mut tool = tool.disable_help_subcommand(true);
    tool.build();
    let page = match &args.command {
        None => tool,
        Some(name) => match tool.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(Stop::Bad(format!("there is no command {name}"))),
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(Stop::output)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<bool, Stop> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(Stop::output)?;
    Ok(true)
}
