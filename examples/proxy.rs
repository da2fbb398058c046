//! A turn through a proxy, over each transport, to a server whose CA the system does not know.
//!
//! Proxy and server run in this process. `HTTPS_PROXY` is read where no `ProxySetting` is given.

use responses_client::{
    Item, NetworkSettings, Provider, ProxySetting, ResponsesClient, ResponsesRequest,
    TransportPolicy,
    testing::{Script, ScriptedServer, Turn},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = ScriptedServer::start_tls(Script::new().respond(|_| Turn::text("Hello."))).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = ProxySetting::Url(format!("http://{}", listener.local_addr()?));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client));
        }
    });

    let network = NetworkSettings::new()
        .proxy(proxy)
        .root_certificates_pem(server.ca_certificate_pem().unwrap_or_default());
    let request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say hello.")]);
    for policy in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
        let client = ResponsesClient::builder()
            .provider(Provider::compatible(&server.url())?)
            .network(network.clone())
            .transport(policy)
            .build()?;
        let response = client.session().stream(&request).await?.final_response().await?;
        println!("{policy:?}: {}", response.output_text());
    }
    Ok(())
}

/// What a proxy does with `CONNECT host:port`.
async fn tunnel(client: TcpStream) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let host = head.split(' ').nth(1).unwrap_or_default();
    println!("the proxy opens a way to {}", host.split(':').next().unwrap_or_default());
    let mut server = TcpStream::connect(host).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
