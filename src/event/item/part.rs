//! The parts of items: texts, images and files, and what is noted on texts.

use super::{
    define::{objects, unions},
    read::Read as _,
};
use crate::json::{Json, Text};

unions! {
    /// A part of a message, of reasoning, or of what a tool returned.
    ContentPart is its item, bare {
        /// Text of the assistant, also by the name that gateways give it, or as a bare string.
        OutputText(OutputText) = "output_text" | "text",
        /// The model refuses.
        Refusal(Refusal) = "refusal",
        /// Reasoning itself.
        ReasoningText(PlainText) = "reasoning_text",
        /// A paragraph of the summary of reasoning.
        SummaryText(PlainText) = "summary_text",
        /// What only the server can read (multi-agent beta).
        EncryptedContent(EncryptedContent) = "encrypted_content",
        /// Text for the model.
        InputText(InputText) = "input_text",
        /// An image for the model.
        InputImage(InputImage) = "input_image",
        /// A file for the model.
        InputFile(InputFile) = "input_file",
        /// Audio for the model.
        InputAudio(InputAudio) = "input_audio",
        /// What a computer shows.
        ComputerScreenshot(ComputerScreenshot) = "computer_screenshot",
    }
    /// What is noted on a text. Indices count characters of a unit that the API does not state:
    /// never slice with them unchecked.
    Annotation {
        /// A file that was searched.
        FileCitation(FileCitation) = "file_citation",
        /// A page of the web.
        UrlCitation(UrlCitation) = "url_citation",
        /// A file that code made.
        ContainerFileCitation(ContainerFileCitation) = "container_file_citation",
        /// A file.
        FilePath(AnnotatedPath) = "file_path",
    }
}

objects! {
    /// Text of the assistant.
    OutputText {
        /// The text.
        text: Text,
        /// What is noted on it.
        annotations: Vec<Annotation>,
        /// How likely its tokens were, if the request asked for it.
        logprobs: Vec<Logprob>,
    }
    /// The model refuses.
    Refusal {
        /// Why.
        refusal: Text,
    }
    /// Text alone.
    PlainText {
        /// The text.
        text: Text,
    }
    /// What only the server can read.
    EncryptedContent {
        /// Opaque.
        encrypted_content: Text,
    }
    /// Text for the model.
    InputText {
        /// The text.
        text: Text,
        /// That the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// An image for the model: by its URL, or by the id of an upload.
    InputImage {
        /// `low`, `high`, `auto` or `original`.
        detail: Option<String>,
        /// Its URL; it may be a data URL.
        image_url: Option<Text>,
        /// Its upload.
        file_id: Option<String>,
        /// That the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// A file for the model: by its content, its URL, or the id of an upload.
    InputFile {
        /// Its upload.
        file_id: Option<String>,
        /// Its URL.
        file_url: Option<Text>,
        /// Its content, in base64 or as a data URL.
        file_data: Option<Text>,
        /// Its name.
        filename: Option<Text>,
        /// `auto`, `low` or `high`.
        detail: Option<String>,
        /// That the prompt cache ends here.
        prompt_cache_breakpoint: Option<Json>,
    }
    /// Audio for the model.
    InputAudio {
        /// Its content.
        input_audio: Option<AudioData>,
    }
    /// The content of audio.
    AudioData {
        /// In base64.
        data: Text,
        /// `mp3` or `wav`.
        format: Option<String>,
    }
    /// What a computer shows: by its URL, or by the id of an upload.
    ComputerScreenshot {
        /// Its URL; it may be a data URL.
        image_url: Option<Text>,
        /// Its upload.
        file_id: Option<String>,
        /// How much of it the model sees.
        detail: Option<String>,
    }
    /// A file that was searched.
    FileCitation {
        /// The file.
        file_id: Option<String>,
        /// Its name.
        filename: Option<Text>,
        /// Where in the text it is cited.
        index: Option<u64>,
    }
    /// A page of the web.
    UrlCitation {
        /// Where it is.
        url: Option<Text>,
        /// Its title.
        title: Option<Text>,
        /// Where in the text the citation begins.
        start_index: Option<u64>,
        /// Where it ends.
        end_index: Option<u64>,
    }
    /// A file that code made.
    ContainerFileCitation {
        /// Where the code ran.
        container_id: Option<String>,
        /// The file.
        file_id: Option<String>,
        /// Its name.
        filename: Option<Text>,
        /// Where in the text the citation begins.
        start_index: Option<u64>,
        /// Where it ends.
        end_index: Option<u64>,
    }
    /// A file.
    AnnotatedPath {
        /// The file.
        file_id: Option<String>,
        /// Where in the text it stands.
        index: Option<u64>,
    }
    /// How likely a token was.
    Logprob {
        /// The token.
        token: Text,
        /// The logarithm of its probability.
        logprob: Option<f64>,
        /// Its bytes, where it is no character by itself; the deltas lack them.
        bytes: Vec<u64>,
        /// The likeliest tokens at its place.
        top_logprobs: Vec<TopLogprob>,
    }
    /// How likely another token was. A type of its own, so that no JSON can nest without end.
    TopLogprob {
        /// The token.
        token: Text,
        /// The logarithm of its probability.
        logprob: Option<f64>,
        /// Its bytes, where it is no character by itself; the deltas lack them.
        bytes: Vec<u64>,
    }
}

impl ContentPart {
    /// The part that a string stands for, where a list of parts should be.
    fn bare(json: &Json) -> Option<Self> {
        let text = Text::read(json)?;
        Some(Self::OutputText(OutputText { text, ..OutputText::default() }))
    }

    /// Its text; none of parts that are no text, and of refusals.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::OutputText(part) => Some(&part.text),
            Self::ReasoningText(part) | Self::SummaryText(part) => Some(&part.text),
            Self::InputText(part) => Some(&part.text),
            _ => None,
        }
    }
}
