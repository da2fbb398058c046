//! An image goes in, an image comes out, into a file.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example images -- photo.png painted.png
//! ```
//!
//! Without a key it asks the embedded server, whose image is not one to look at.

use std::fs;

use responses_client::{
    Auth, InputPart, Item, Provider, ResponsesClient, ResponsesRequest, Tool,
    event::{OutputItem, ResponseEvent},
    testing::{Script, ScriptedServer, Turn, items},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = Turn::output([items::image(3_000_000)]);
    let server = ScriptedServer::start(Script::new().turn(answer)).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;

    let mut paths = std::env::args().skip(1);
    let photo = paths.next().map_or_else(|| Ok(b"no photo".to_vec()), fs::read)?;
    let painted = std::env::temp_dir().join("painted.png");
    let painted = paths.next().map_or(painted, Into::into);

    let request = ResponsesRequest::new("gpt-6-astra")
        .tools([Tool::from_json(r#"{"type":"image_generation","partial_images":2}"#)?])
        .input([Item::user_parts([
            InputPart::text("Paint this in watercolours."),
            InputPart::image("image/png", &photo),
        ])]);
    let mut session = client.session();
    let mut stream = session.stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        if let ResponseEvent::ImageGenerationCallPartialImage(partial) = event {
            println!("as far as it is made: {} bytes", partial.write_to(&mut std::io::sink())?);
        }
    }
    for item in stream.final_response().await?.output() {
        if let OutputItem::ImageGenerationCall(image) = item {
            let size = image.write_to(&mut fs::File::create(&painted)?)?;
            println!("{}: {size} bytes", painted.display());
        }
    }
    Ok(())
}
