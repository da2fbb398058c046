//! A conversation that continues in another process, from a checkpoint in a file.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example resume
//! ```
//!
//! Without a key, both processes use the embedded server of the first one.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use responses_client::{
    Checkpoint, Item, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        None => first().await,
        Some(file) => second(Path::new(&file)).await,
    }
}

/// Runs the first turn, saves the session, and starts the second process.
async fn first() -> Result<(), Box<dyn Error>> {
    let answers = ["Tides rise and fall.", "Because of the moon."].map(Turn::text);
    let server = ScriptedServer::start(Script::new().turns(answers)).await?;
    let mut child = Command::new(env::current_exe()?);
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => {
            child.env("OPENAI_BASE_URL", server.url()).env("OPENAI_API_KEY", "unused");
            server.client()?
        }
    };

    // The server keeps the response, so that another connection can continue it.
    let request =
        ResponsesRequest::new("gpt-6-astra").store(true).input("Describe tides in one sentence.");
    let mut session = client.session();
    println!("{}", session.respond(&request).await?.output_text());
    let file: PathBuf = env::temp_dir().join(format!("checkpoint-{}.json", std::process::id()));
    // The file is as confidential as the conversation. It contains no credentials.
    fs::write(&file, serde_json::to_vec(&session.checkpoint())?)?;
    let path = file.clone();
    let status = tokio::task::spawn_blocking(move || child.arg(path).status()).await??;
    fs::remove_file(file)?;
    if status.success() { Ok(()) } else { Err("the second process failed".into()) }
}

/// Continues the conversation.
async fn second(file: &Path) -> Result<(), Box<dyn Error>> {
    let checkpoint: Checkpoint = serde_json::from_slice(&fs::read(file)?)?;
    let Some(last) = checkpoint.request() else { return Err("no completed turn".into()) };
    let mut request = last.clone().input(checkpoint.history());
    request.input.push(Item::user("Why?"));
    let mut session = ResponsesClient::from_env()?.resume(checkpoint);
    let response = session.respond(&request).await?;
    println!("{} ({:?})", response.output_text(), response.report().plan);
    Ok(())
}
