//! The one door through which a static file comes in. `serde_yaml` is named here and in `locate`, nowhere else.

use crate::fields::{known_at, nearest};
use crate::locate::{Step, dotted, locate, steps};
use crate::{ConfigError, Misfit, StaticFile};

/// Brackets that open in one file, wherever they stand. The YAML reader's time grows with the square of how deep they nest, and it knows no
/// bound of its own; the largest file within the bounds of the vocabulary has about 7,000.
const OPENINGS_MAX: usize = 8_192;

impl StaticFile {
    /// The size of a file that is read, in bytes: a route with every field set takes about 1 KiB, so 256 of them fit with room for comments.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// Parses a static file. `file` is its name in errors.
    ///
    /// Errors: the first of a YAML mistake, an unknown field, a value out of its range, and settings that do not go together.
    pub fn parse(text: &str, file: &str) -> Result<StaticFile, ConfigError> {
        if text.len() > Self::BYTES_MAX {
            return Err(ConfigError::of_file(
                file,
                format!("found more than {0} bytes, allowed: at most {0}", Self::BYTES_MAX),
            ));
        }
        let openings = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
        if openings > OPENINGS_MAX {
            return Err(ConfigError::of_file(
                file,
                format!("found {openings} opening brackets, allowed: at most {OPENINGS_MAX}"),
            ));
        }
        if text.trim_start_matches('\u{feff}').lines().all(holds_nothing) {
            return Err(ConfigError::of_file(
                file,
                "the file holds no settings, expected at least `listeners` or `policy`",
            ));
        }
        let mut unknown = None;
        let read = serde_ignored::deserialize(serde_yaml::Deserializer::from_str(text), |path| {
            unknown.get_or_insert_with(|| steps_of(&path));
        });
        // The unknown field stands before whatever else is wrong, and is often its cause (`adress` makes `address` missing).
        if let Some(path) = unknown {
            return Err(unknown_field(text, file, &path));
        }
        let read: StaticFile = read.map_err(|error| refused(text, file, &error))?;
        read.check().map_err(|misfit| ConfigError::misfit(text, file, misfit))?;
        Ok(read)
    }
}

impl ConfigError {
    /// An error of a field that was read from `text`: finds its line.
    pub fn misfit(text: &str, file: &str, misfit: Misfit) -> Self {
        let mut path = steps(&misfit.field);
        let mut at = locate(text, &path, 0);
        while at.is_none() && path.pop().is_some() && !path.is_empty() {
            at = locate(text, &path, 0);
        }
        ConfigError { file: file.to_owned(), at, field: Some(misfit.field), what: misfit.what }
    }
}

fn holds_nothing(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
}

fn unknown_field(text: &str, file: &str, path: &[Step]) -> ConfigError {
    let (name, holder) =
        path.split_last().map_or((String::new(), path), |(last, holder)| (dotted(std::slice::from_ref(last)), holder));
    let known = known_at(holder);
    let mut what = "unknown".to_owned();
    if let Some(likely) = nearest(&name, &known) {
        what.push_str(&format!("; did you mean `{likely}`?"));
    } else if let Some(home) = at_home_in_policy(holder, &name) {
        what.push_str(&format!("; it cannot differ by route, set it in `{home}`"));
    }
    if !known.is_empty() {
        what.push_str(&format!(" (allowed here: {})", known.join(", ")));
    }
    ConfigError { file: file.to_owned(), at: locate(text, path, 0), field: Some(dotted(path)), what }
}

/// Where a field that a route cannot set would be known: the same section of the policy itself.
fn at_home_in_policy(holder: &[Step], name: &str) -> Option<String> {
    let [policy @ Step::Key(_), Step::Key(routes), Step::Index(_), section @ ..] = holder else { return None };
    let home: Vec<Step> = std::iter::once(policy).chain(section).cloned().collect();
    (routes == "routes" && known_at(&home).iter().any(|known| known == name)).then(|| dotted(&home))
}

fn steps_of(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut steps = steps_of(parent);
    steps.extend(step);
    steps
}

/// Puts an error of the YAML reader into our form.
fn refused(text: &str, file: &str, error: &serde_yaml::Error) -> ConfigError {
    let at = error.location().map(|at| (at.line(), at.column()));
    let message = error.to_string();
    // The reader appends the place, which stands in front in ours.
    let message = at.map_or(message.as_str(), |(line, column)| {
        message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message)
    });
    let (field, message) = split_path(message);
    let mut error =
        ConfigError { file: file.to_owned(), at, field: field.map(str::to_owned), what: plain_words(message) };
    if let Some(name) = quoted(message, "missing field `") {
        let path = [steps(field.unwrap_or_default()), steps(name)].concat();
        error.field = Some(dotted(&path));
        error.what = "missing".to_owned();
    } else if let Some(name) = quoted(message, "duplicate field `") {
        let path = [steps(field.unwrap_or_default()), steps(name)].concat();
        error.at = locate(text, &path, 1).or(at);
        error.field = Some(dotted(&path));
        error.what = "found a second time, allowed: once".to_owned();
    } else if starts_with_tab(text, at) {
        error.what.push_str(" (the line is indented with a tab, YAML allows spaces only)");
    }
    error
}

/// Splits "policy.timeouts.connect: found ..." at the path, if there is one: known fields hold no space and no colon.
fn split_path(message: &str) -> (Option<&str>, &str) {
    match message.split_once(": ") {
        Some((path, rest))
            if !path.is_empty()
                && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._[]-".contains(&byte)) =>
        {
            (Some(path), rest)
        }
        _ => (None, message),
    }
}

fn quoted<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.strip_suffix('`')
}

/// "invalid type: sequence, expected a duration ..." becomes "found a list, allowed: a duration ...".
fn plain_words(message: &str) -> String {
    let Some((found, allowed)) = message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    else {
        return message.to_owned();
    };
    let found = match found {
        "sequence" => "a list",
        "map" => "a mapping",
        "unit value" => "nothing",
        other => other,
    };
    let allowed = if allowed == "a boolean" { "true or false" } else { allowed };
    format!("found {found}, allowed: {allowed}")
}

fn starts_with_tab(text: &str, at: Option<(usize, usize)>) -> bool {
    let line = at.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1)));
    line.is_some_and(|line| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t'))
}
