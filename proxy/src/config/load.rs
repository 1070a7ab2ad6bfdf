//! Flags and file to one configuration in which every field knows who said it.

use slipstream_schema::{ClientCertificates, Effective, Field, Level, List, Misfit, StaticFile, not_yet_in_force};

use super::listeners::{combine, set_origins};
use super::read::{Source, read};
use super::{Error, Flags};

/// What holds, before anything outside is asked: names are not resolved, files not opened.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub(super) effective: Effective<StaticFile>,
    source: Option<Source>,
    /// One line for each field that is accepted and has no effect in this version.
    pub warnings: Vec<String>,
}

/// Reads the file of `--config`, if there is one, and lays the flags over it, field by field.
///
/// Errors: whatever [`StaticFile::parse`] refuses, flags that do not go together, and listeners that clash or lack a certificate or an app.
pub fn load(flags: &Flags) -> Result<Loaded, Error> {
    let source = flags.config.as_deref().map(read).transpose().map_err(Error::File)?;
    let parsed = source.as_ref().map(|source| StaticFile::parse(&source.text, &source.name)).transpose();
    let mut file = parsed.map_err(Error::File)?.unwrap_or_default();

    let in_file = file.listeners.take().unwrap_or_default();
    let listeners = combine(flags, &in_file)?;
    let mut effective = StaticFile::merge([(Level::File, file), (Level::Flag, flags.layer())]);
    effective.value.listeners = List::new(listeners.iter().map(|sourced| sourced.listener.clone()).collect());
    let leaves: Vec<String> = effective.fields().into_iter().map(|field| field.path).collect();
    set_origins(&listeners, &leaves, &mut effective.origins);
    if listeners.is_empty() {
        effective.origins.insert("listeners".to_owned(), Level::BuiltIn);
    }

    let warnings = not_yet_in_force(&effective);
    let loaded = Loaded { effective, source, warnings };
    loaded.effective.value.check().map_err(|misfit| loaded.refuse("--listen", misfit))?;
    loaded.check_listeners()?;
    Ok(loaded)
}

impl Loaded {
    /// Each field with its value and its origin, by path.
    pub fn fields(&self) -> Vec<Field> {
        self.effective.fields()
    }

    /// What holds and who said it, as `/config` and `check -o json` show it; `effective` is itself a configuration file.
    pub fn dump(&self) -> serde_json::Value {
        serde_json::json!({
            "effective": self.effective.value,
            "origins": self.effective.origins,
            "notYetInForce": self.warnings,
        })
    }

    /// An error of one field, at the place that said it: the line of the file, or `flag`.
    pub(super) fn refuse(&self, flag: &'static str, misfit: Misfit) -> Error {
        let said_by = |path: &str| self.effective.origins.get(path).copied();
        let listener = misfit.field.split('.').next().map(|listener| format!("{listener}.address"));
        let level = said_by(&misfit.field).or_else(|| listener.and_then(|address| said_by(&address)));
        match &self.source {
            Some(source) if level == Some(Level::File) => {
                Error::File(slipstream_schema::ConfigError::misfit(&source.text, &source.name, misfit))
            }
            _ => Error::flag(flag, misfit.what),
        }
    }

    /// Every listener has an app, and one that speaks TLS a certificate, and an authority where it asks for one: by file or by flag.
    fn check_listeners(&self) -> Result<(), Error> {
        for (index, listener) in self.effective.value.listeners.iter().flat_map(|list| list.iter()).enumerate() {
            let missing = |field: &str, flag, what: String| {
                Err(self.refuse(flag, Misfit { field: format!("listeners[{index}].{field}"), what }))
            };
            let address = listener.address;
            if listener.upstream.is_none() {
                let what = format!(
                    "missing for `{address}`: say where its app is with `--upstream http://HOST:PORT`, or `upstream` in the file"
                );
                return missing("upstream", "--upstream", what);
            }
            let certificates = listener.tls.as_ref().and_then(|tls| tls.certificates.as_deref()).unwrap_or_default();
            if listener.tls.is_some() && certificates.is_empty() {
                let what = format!(
                    "missing for `{address}`: give a certificate with `--tls-cert FILE --tls-key FILE`, or `tls.certificates` in the file"
                );
                return missing("tls.certificates", "--tls-cert", what);
            }
            if let Some(tls) = &listener.tls
                && let Some(asked @ (ClientCertificates::Optional | ClientCertificates::Required)) =
                    tls.client_certificates
                && tls.client_ca.is_none()
            {
                let what = format!(
                    "found `{asked}` for `{address}` without authorities to judge certificates by: give them with `--tls-client-ca FILE`, or \
                     `tls.clientCa` in the file, or say `off`"
                );
                return missing("tls.clientCertificates", "--tls-client-certificates", what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
