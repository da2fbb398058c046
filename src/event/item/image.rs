//! Generated images, decoded from JSON.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::ImageGenerationCall;
use crate::event::ImageGenerationCallPartialImage;

/// Bytes of base64 decoded at a time: whole groups of four.
const CHUNK: usize = 32 * 1024;

impl ImageGenerationCall {
    /// Decodes the image into `out`, and returns its size in bytes. The method holds only 24 KiB in
    /// memory, not the image.
    ///
    /// # Errors
    ///
    /// The error of `out`. [`InvalidData`](io::ErrorKind::InvalidData) if the server sent invalid
    /// base64; the part before it has been written. [`NotFound`](io::ErrorKind::NotFound) if there
    /// is no image (yet).
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        write_base64(self.result.as_deref(), out)
    }
}

impl ImageGenerationCallPartialImage {
    /// Decodes the partial image into `out`, and returns its size in bytes.
    ///
    /// # Errors
    ///
    /// Like [`ImageGenerationCall::write_to`].
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        write_base64(self.partial_image_b64.as_deref(), out)
    }

    /// Returns the size in pixels, for example `1024x1024`.
    pub fn size(&self) -> Option<String> {
        self.text("size")
    }

    /// Returns the quality, for example `high`.
    pub fn quality(&self) -> Option<String> {
        self.text("quality")
    }

    /// Returns the kind of background, for example `transparent`.
    pub fn background(&self) -> Option<String> {
        self.text("background")
    }

    /// Returns the file format, for example `png`.
    pub fn output_format(&self) -> Option<String> {
        self.text("output_format")
    }

    /// Reads a member that few callers need. As fields, these would make every event larger, and
    /// events are moved often.
    fn text(&self, name: &str) -> Option<String> {
        self.member(name).ok().flatten()
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
        // Padding is only allowed at the end.
        if size < buffer.len() && offset < text.len() {
            return Err(invalid(offset - chunk.len()));
        }
        out.write_all(buffer.get(..size).unwrap_or_default())?;
        written += size as u64;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use crate::event::{EventKind, ResponseEvent};

    #[test]
    fn a_partial_image_has_its_properties_where_the_server_sent_them() {
        let kind = EventKind::ImageGenerationCallPartialImage;
        let read = |payload: &str| match ResponseEvent::decode(kind, payload.into()).unwrap() {
            ResponseEvent::ImageGenerationCallPartialImage(image) => {
                [image.size(), image.quality(), image.background(), image.output_format()]
            }
            _ => panic!("another event"),
        };
        let image =
            r#"{"size":"1x1","quality":"high","background":"opaque","output_format":"png"}"#;
        let properties = ["1x1", "high", "opaque", "png"].map(|it| Some(it.to_owned()));
        assert_eq!(read(image), properties);
        assert_eq!(read(r#"{"size":7}"#), [None, None, None, None]);
    }

    #[test]
    fn no_event_is_much_larger_than_a_text_delta() {
        // Each move of an event copies as many bytes as the largest kind has.
        let delta = size_of::<crate::event::OutputTextDelta>();
        assert!(size_of::<ResponseEvent>() <= delta + 8, "{}", size_of::<ResponseEvent>());
        assert!(size_of::<ResponseEvent>() <= 176, "{}", size_of::<ResponseEvent>());
    }
}
