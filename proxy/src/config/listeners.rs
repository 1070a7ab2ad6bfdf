//! The listeners: what the flags say of them and what the file says, field by field.

use std::collections::BTreeMap;

use slipstream_schema::{Certificate, ClientCertificates, Level, List, Listener, ListenerTls, Scheme, TlsMode};

use super::{Error, Flags};

/// A listener, and who said each part of it.
#[derive(Debug, Clone)]
pub(super) struct Sourced {
    pub listener: Listener,
    pub address: Level,
    upstream: Level,
    mode: Level,
    certificates: Level,
    client_ca: Level,
    client_certificates: Level,
}

/// The listeners that hold.
///
/// `--listen` takes the place of the file's list; what flags do not say of such a listener is taken from the file's listener of the same
/// address, else from its first. Without `--listen`, `--upstream` and `--tls-cert` hold for each of the file's.
pub(super) fn combine(flags: &Flags, in_file: &[Listener]) -> Result<Vec<Sourced>, Error> {
    let certificates = flags.certificates()?;
    let mut listeners: Vec<Sourced> = if flags.listen.is_empty() {
        in_file.iter().map(|listener| Sourced::all_from(Level::File, listener.clone())).collect()
    } else {
        flags.listen.iter().map(|address| Sourced::with_flag_address(*address, in_file)).collect()
    };
    let mut has_https = false;
    for sourced in &mut listeners {
        if let Some(upstream) = &flags.upstream {
            sourced.listener.upstream = Some(upstream.clone());
            sourced.upstream = Level::Flag;
        }
        if sourced.listener.address.scheme == Scheme::Https {
            has_https = true;
            sourced.settle_tls(flags, &certificates)?;
        }
    }
    if let Some(flag) = flags.for_tls()
        && !has_https
    {
        let what = "no listener speaks TLS; allowed: with at least one `--listen https://ADDRESS:PORT`";
        return Err(Error::flag(flag, what));
    }
    if listeners.len() > 64 {
        return Err(Error::flag("--listen", format!("found {} listeners, allowed: at most 64", listeners.len())));
    }
    Ok(listeners)
}

impl Sourced {
    fn all_from(level: Level, listener: Listener) -> Sourced {
        Sourced {
            listener,
            address: level,
            upstream: level,
            mode: level,
            certificates: level,
            client_ca: level,
            client_certificates: level,
        }
    }

    fn with_flag_address(address: slipstream_schema::ListenAddress, in_file: &[Listener]) -> Sourced {
        let model = in_file.iter().find(|listener| listener.address == address).or(in_file.first());
        let tls = if address.scheme == Scheme::Https { model.and_then(|model| model.tls.clone()) } else { None };
        let listener = Listener { address, upstream: model.and_then(|model| model.upstream.clone()), tls };
        Sourced { address: Level::Flag, ..Sourced::all_from(Level::File, listener) }
    }

    fn settle_tls(&mut self, flags: &Flags, certificates: &[Certificate]) -> Result<(), Error> {
        let tls = self.listener.tls.get_or_insert_with(ListenerTls::default);
        settle(&mut tls.mode, &mut self.mode, flags.tls_mode);
        tls.mode.get_or_insert_with(|| {
            self.mode = Level::BuiltIn;
            TlsMode::Required
        });
        settle(&mut tls.client_ca, &mut self.client_ca, flags.tls_client_ca.clone());
        settle(&mut tls.client_certificates, &mut self.client_certificates, flags.tls_client_certificates);
        let has_authorities = tls.client_ca.is_some();
        tls.client_certificates.get_or_insert_with(|| {
            self.client_certificates = Level::BuiltIn;
            if has_authorities { ClientCertificates::Required } else { ClientCertificates::Off }
        });
        if !certificates.is_empty() {
            let found = certificates.len();
            let list = List::new(certificates.to_vec());
            let refused = || Error::flag("--tls-cert", format!("found {found} certificates, allowed: at most 64"));
            tls.certificates = Some(list.ok_or_else(refused)?);
            self.certificates = Level::Flag;
        }
        Ok(())
    }
}

/// A flag wins over what the file says.
fn settle<T>(value: &mut Option<T>, said_by: &mut Level, flag: Option<T>) {
    if flag.is_some() {
        *value = flag;
        *said_by = Level::Flag;
    }
}

/// Puts the origin of each leaf at or below `listeners[n]`.
pub(super) fn set_origins(listeners: &[Sourced], leaves: &[String], origins: &mut BTreeMap<String, Level>) {
    for (index, sourced) in listeners.iter().enumerate() {
        for (field, level) in [
            ("address", sourced.address),
            ("upstream", sourced.upstream),
            ("tls.mode", sourced.mode),
            ("tls.certificates", sourced.certificates),
            ("tls.clientCa", sourced.client_ca),
            ("tls.clientCertificates", sourced.client_certificates),
        ] {
            let prefix = format!("listeners[{index}].{field}");
            origins.extend(leaves.iter().filter(|leaf| leaf.starts_with(&prefix)).map(|leaf| (leaf.clone(), level)));
        }
    }
}
