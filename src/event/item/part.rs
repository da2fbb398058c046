//! Parts of items: texts, images and files, and the annotations of texts.

use super::{
    define::{objects, unions},
    read::Read as _,
};
use crate::json::{Json, Text};

unions! {
    /// Part of a message, of reasoning, or of a tool's output.
    ///
    /// ```
    /// use responses_client::event::{ContentPart, Message};
    ///
    /// fn show(message: &Message) {
    ///     for part in &message.content {
    ///         match part {
    ///             ContentPart::OutputText(part) => println!("{}", part.text),
    ///             ContentPart::Refusal(part) => println!("The model refuses: {}", part.refusal),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// # let _ = show;
    /// ```
    ContentPart is its item, bare {
        /// Text of the assistant. Gateways also send the type `text`, or a bare string.
        OutputText(OutputText) = "output_text" | "text",
        /// Refusal of the model.
        Refusal(Refusal) = "refusal",
        /// Reasoning text.
        ReasoningText(PlainText) = "reasoning_text",
        /// Paragraph of a summary of reasoning.
        SummaryText(PlainText) = "summary_text",
        /// Content encrypted for the server (multi-agent beta).
        EncryptedContent(EncryptedContent) = "encrypted_content",
        /// Text for the model.
        InputText(InputText) = "input_text",
        /// Image for the model.
        InputImage(InputImage) = "input_image",
        /// File for the model.
        InputFile(InputFile) = "input_file",
        /// Audio for the model.
        InputAudio(InputAudio) = "input_audio",
        /// Screenshot of a computer.
        ComputerScreenshot(ComputerScreenshot) = "computer_screenshot",
    }
    /// Annotation of a text. The API does not state the unit in which indices count characters:
    /// never slice with them unchecked.
    ///
    /// ```
    /// use responses_client::event::{Annotation, Message};
    ///
    /// /// Returns the addresses of the cited pages.
    /// fn pages(message: &Message) -> impl Iterator<Item = &str> {
    ///     message.annotations().filter_map(|annotation| match annotation {
    ///         Annotation::UrlCitation(page) => page.url.as_deref(),
    ///         _ => None,
    ///     })
    /// }
    /// # let _ = pages;
    /// ```
    Annotation {
        /// Citation of a file.
        FileCitation(FileCitation) = "file_citation",
        /// Citation of a web page.
        UrlCitation(UrlCitation) = "url_citation",
        /// Citation of a file that code created.
        ContainerFileCitation(ContainerFileCitation) = "container_file_citation",
        /// Path of a file.
        FilePath(AnnotatedPath) = "file_path",
    }
}

objects! {
    /// Text of the assistant.
    OutputText {
        /// The text.
        text: Text,
        /// Annotations of the text.
        annotations: Vec<Annotation>,
        /// Log probabilities of the tokens, if the request asked for them.
        logprobs: Vec<Logprob>,
    }
    /// Refusal of the model.
    Refusal {
        /// Reason of the refusal.
        refusal: Text,
    }
    /// Text without annotations.
    PlainText {
        /// The text.
        text: Text,
    }
    /// Content encrypted for the server.
    EncryptedContent {
        /// The encrypted content, opaque to the client.
        encrypted_content: Text,
    }
    /// Text for the model.
    InputText {
        /// The text.
        text: Text,
        /// Marker that the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// Image for the model, by its URL or by the id of an upload.
    InputImage {
        /// Level of detail: `low`, `high`, `auto` or `original`.
        detail: Option<String>,
        /// URL of the image; it may be a data URL.
        image_url: Option<Text>,
        /// Id of the uploaded file.
        file_id: Option<String>,
        /// Marker that the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// File for the model, by its content, its URL or the id of an upload.
    InputFile {
        /// Id of the uploaded file.
        file_id: Option<String>,
        /// URL of the file.
        file_url: Option<Text>,
        /// Content of the file, in base64 or as a data URL.
        file_data: Option<Text>,
        /// Name of the file.
        filename: Option<Text>,
        /// Level of detail: `auto`, `low` or `high`.
        detail: Option<String>,
        /// Marker that the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// Audio for the model.
    InputAudio {
        /// Content of the audio.
        input_audio: Option<AudioData>,
    }
    /// Content of audio.
    AudioData {
        /// Audio data in base64.
        data: Text,
        /// Format: `mp3` or `wav`.
        format: Option<String>,
    }
    /// Screenshot of a computer, by its URL or by the id of an upload.
    ComputerScreenshot {
        /// URL of the screenshot; it may be a data URL.
        image_url: Option<Text>,
        /// Id of the uploaded file.
        file_id: Option<String>,
        /// Level of detail for the model.
        detail: Option<String>,
    }
    /// Citation of a file.
    FileCitation {
        /// Id of the file.
        file_id: Option<String>,
        /// Name of the file.
        filename: Option<Text>,
        /// Index in the text at which the file is cited.
        index: Option<u64>,
    }
    /// Citation of a web page.
    UrlCitation {
        /// URL of the page.
        url: Option<Text>,
        /// Title of the page.
        title: Option<Text>,
        /// Index in the text at which the citation starts.
        start_index: Option<u64>,
        /// Index in the text at which the citation ends.
        end_index: Option<u64>,
    }
    /// Citation of a file that code created.
    ContainerFileCitation {
        /// Id of the container in which the code ran.
        container_id: Option<String>,
        /// Id of the file.
        file_id: Option<String>,
        /// Name of the file.
        filename: Option<Text>,
        /// Index in the text at which the citation starts.
        start_index: Option<u64>,
        /// Index in the text at which the citation ends.
        end_index: Option<u64>,
    }
    /// Path of a file.
    AnnotatedPath {
        /// Id of the file.
        file_id: Option<String>,
        /// Index in the text at which the path stands.
        index: Option<u64>,
    }
    /// Log probability of a token.
    Logprob {
        /// The token.
        token: Text,
        /// Natural logarithm of its probability.
        logprob: Option<f64>,
        /// UTF-8 bytes of the token. Empty if the server sends none, as in deltas.
        bytes: Vec<u64>,
        /// Likeliest tokens at the same place.
        top_logprobs: Vec<TopLogprob>,
    }
    /// Log probability of an alternative token. The type is separate from [`Logprob`], so that no
    /// JSON can nest without limit.
    TopLogprob {
        /// The token.
        token: Text,
        /// Natural logarithm of its probability.
        logprob: Option<f64>,
        /// UTF-8 bytes of the token. Empty if the server sends none, as in deltas.
        bytes: Vec<u64>,
    }
}

impl ContentPart {
    /// Returns the part for a string in the place of a list of parts.
    fn bare(json: &Json) -> Option<Self> {
        let text = Text::read(json)?;
        Some(Self::OutputText(OutputText { text, ..OutputText::default() }))
    }

    /// Returns the text. `None` for refusals and for parts that are not text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::OutputText(part) => Some(&part.text),
            Self::ReasoningText(part) | Self::SummaryText(part) => Some(&part.text),
            Self::InputText(part) => Some(&part.text),
            _ => None,
        }
    }
}
