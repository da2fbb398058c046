//! Generated images, out of the JSON that they came in.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::ImageGenerationCall;
use crate::event::ImageGenerationCallPartialImage;

/// How much base64 is decoded at once: whole groups of four.
const CHUNK: usize = 32 * 1024;

impl ImageGenerationCall {
    /// Writes the image to `out` as it is decoded, and tells its size in bytes. What is held in
    /// memory meanwhile is 24 KiB, not the image.
    ///
    /// # Errors
    ///
    /// What `out` says; [`InvalidData`](io::ErrorKind::InvalidData) when the server sent no valid
    /// base64: what came before has been written;
    /// [`NotFound`](io::ErrorKind::NotFound) when there is no image (yet).
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        write_base64(self.result.as_deref(), out)
    }
}

impl ImageGenerationCallPartialImage {
    /// The same for the image as far as it is made.
    ///
    /// # Errors
    ///
    /// As [`ImageGenerationCall::write_to`].
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        write_base64(self.partial_image_b64.as_deref(), out)
    }
}

fn write_base64(text: Option<&str>, out: &mut impl Write) -> io::Result<u64> {
    let invalid = |offset: usize| {
        let problem = format!("the image is no valid base64 (in the 32 KiB from byte {offset} on)");
        io::Error::new(io::ErrorKind::InvalidData, problem)
    };
    let text = text.filter(|text| !text.is_empty());
    let no_image = || io::Error::new(io::ErrorKind::NotFound, "there is no image");
    let text = text.ok_or_else(no_image)?.as_bytes();
    let mut buffer = vec![0; CHUNK / 4 * 3];
    let (mut written, mut offset) = (0, 0);
    for chunk in text.chunks(CHUNK) {
        let size = STANDARD.decode_slice(chunk, &mut buffer).map_err(|_| invalid(offset))?;
        offset += chunk.len();
        // Padding may stand at the end alone.
        if size < buffer.len() && offset < text.len() {
            return Err(invalid(offset - chunk.len()));
        }
        out.write_all(buffer.get(..size).unwrap_or_default())?;
        written += size as u64;
    }
    Ok(written)
}
