//! Recording of a run: events and errors with their times, which the scripted server can replay.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{line::RecordLine, stop::Stop};

/// Writer of a recording, if one was requested. A recording contains no headers or credentials.
pub(crate) struct Recorder(Option<Recording>);

struct Recording {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Recorder {
    /// Creates the file, and truncates an existing file.
    pub(crate) fn create(path: Option<&Path>) -> Result<Self, Stop> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = File::create(path).map_err(|error| failed(path, &error))?;
        Ok(Self(Some(Recording { path: path.to_owned(), out: BufWriter::new(file) })))
    }

    pub(crate) fn write(&mut self, line: &RecordLine<'_>) -> Result<(), Stop> {
        self.with_file(|out| {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")
        })
    }

    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        self.with_file(Write::flush)
    }

    fn with_file(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), Stop> {
        let Some(Recording { path, out }) = &mut self.0 else { return Ok(()) };
        write(out).map_err(|error| failed(path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Stop {
    Stop::Bad(format!("the recording {} cannot be written: {error}", path.display()))
}
