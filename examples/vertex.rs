//! Access tokens of Google Cloud for Vertex AI, each fetched before the one before it expires.
//!
//! With the variable `GOOGLE_CLOUD_PROJECT` and a model as the argument, the example asks Vertex AI
//! in `GOOGLE_CLOUD_LOCATION`, with a token of the metadata server of the machine. Otherwise both
//! servers run in this process.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Auth, Provider, ResponsesClient, ResponsesRequest, Secret,
    testing::{Exchange, Script, ScriptedServer, Turn},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

type Fault = Box<dyn Error + Send + Sync>;

/// Fetches the token of the machine's service account. Elsewhere than on Google Cloud, the output of
/// `gcloud auth print-access-token` is a token that is valid for less than an hour.
async fn fetch_token(host: String) -> Result<Secret, Fault> {
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let answer = client.get(url).header("Metadata-Flavor", "Google").send().await?;
    let answer: Value = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
    let token = answer["access_token"].as_str().ok_or("no token")?;
    let seconds = answer["expires_in"].as_u64().ok_or("no expiry")?;
    Ok(Secret::from(token).expires_in(Duration::from_secs(seconds)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let auth = |host: String| Auth::provider_fn(move || fetch_token(host.clone()));
    if let (Some(model), Ok(project)) = (env::args().nth(1), env::var("GOOGLE_CLOUD_PROJECT")) {
        let location = env::var("GOOGLE_CLOUD_LOCATION").unwrap_or_else(|_| "global".to_owned());
        let provider = Provider::vertex(&project, &location)?;
        let auth = auth("metadata.google.internal".to_owned());
        let client = ResponsesClient::builder().provider(provider).auth(auth).build()?;
        let request = ResponsesRequest::new(model).input("Say hello.");
        println!("{}", client.respond(request).await?.output_text());
        return Ok(());
    }
    let metadata = TcpListener::bind("127.0.0.1:0").await?;
    let host = metadata.local_addr()?.to_string();
    tokio::spawn(serve_tokens(metadata));
    let server = ScriptedServer::start(Script::new().respond(show)).await?;
    let client = server.client_builder().auth(auth(host)).build()?;
    for _ in 0..2 {
        let response = client.respond(ResponsesRequest::new("a model").input("Say hello.")).await?;
        println!("{}", response.output_text());
    }
    Ok(())
}

fn show(exchange: &Exchange) -> Turn {
    let found = exchange.headers.iter().find(|(name, _)| name == "authorization");
    Turn::text(found.map_or("no token", |(_, value)| value))
}

/// Answers like the metadata server of a machine on Google Cloud.
async fn serve_tokens(listener: TcpListener) -> std::io::Result<()> {
    for number in 1.. {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await? > 0 {}
        let body = format!(r#"{{"access_token":"token-{number}","expires_in":3599}}"#);
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}
