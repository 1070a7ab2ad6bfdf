//! Why a configuration was refused.

use std::fmt;

use slipstream_schema::ConfigError;

/// Each names the place where it is put right: a line of the file, a flag, a variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    File(ConfigError),
    Flag { flag: &'static str, what: String },
    Environment { name: &'static str, what: String },
}

impl Error {
    pub(super) fn flag(flag: &'static str, what: impl Into<String>) -> Error {
        Error::Flag { flag, what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File(error) => error.fmt(f),
            Error::Flag { flag, what } => write!(f, "flag `{flag}`: {what}"),
            Error::Environment { name, what } => write!(f, "environment `{name}`: {what}"),
        }
    }
}

impl std::error::Error for Error {}
