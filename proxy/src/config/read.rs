//! A configuration file's text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use slipstream_schema::{ConfigError, StaticFile};

/// A file as it was read: its name in messages, and its text.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

/// Reads at most [`StaticFile::BYTES_MAX`] bytes and one, so that what is too long is seen to be.
pub(super) fn read(path: &Path) -> Result<Source, ConfigError> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let limit = StaticFile::BYTES_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| ConfigError::of_file(&name, in_words(&error)))?;
    if bytes.len() as u64 == limit {
        let what = format!("found more than {0} bytes, allowed: at most {0}", StaticFile::BYTES_MAX);
        return Err(ConfigError::of_file(&name, what));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(not_utf8(&name, error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory, expected a YAML file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> ConfigError {
    let before = &bytes[..valid];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    let mut error = ConfigError::of_file(
        name,
        format!("found byte 0x{:02x}, which is no UTF-8; allowed: text in UTF-8", bytes[valid]),
    );
    error.at = Some((line, column));
    error
}
