//! Sends an image, and writes the generated image to a file.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example images -- photo.png painted.png
//! ```
//!
//! Without a key, the example asks the embedded server.

use std::{env, error::Error, fs};

use responses_client::{
    InputPart, Item, ResponsesClient, ResponsesRequest, Tool,
    event::{OutputItem, ResponseEvent},
    testing::{Script, ScriptedServer, Turn, items},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let answer = Turn::output([items::image(3_000_000)]);
    let server = ScriptedServer::start(Script::new().turn(answer)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let mut paths = env::args().skip(1);
    let photo = paths.next().map_or_else(|| Ok(b"no photo".to_vec()), fs::read)?;
    let painted = env::temp_dir().join("painted.png");
    let painted = paths.next().map_or(painted, Into::into);

    let request = ResponsesRequest::new("gpt-6-astra")
        .tools([Tool::from_json(r#"{"type":"image_generation","partial_images":2}"#)?])
        .input([Item::user_parts([
            "Paint this in watercolours.".into(),
            InputPart::image_bytes("image/png", &photo),
        ])]);
    let mut session = client.session();
    let mut stream = session.stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        if let ResponseEvent::ImageGenerationCallPartialImage(partial) = event {
            println!("preview: {} bytes", partial.write_to(&mut std::io::sink())?);
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
