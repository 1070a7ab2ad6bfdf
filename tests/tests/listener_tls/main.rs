//! A listener with TLS beyond the handshake of one client: resumption, clients' certificates, plain clients on the same port, files that
//! change, clients that stop half way.

mod client_auth;
mod half_open;
mod permissive;
mod reload;
mod resumption;

use slipstream_tests::{Certs, Client, Driver, End, Origin, Proxy, Running, Tls};

/// A proxy for `app.test` that asks clients for a certificate of `clients`, as `asked` says.
fn asking(driver: Driver, app: &impl Origin, certs: &Certs, clients: &Certs, asked: &str) -> Proxy {
    let authority = clients.authority_file().display().to_string();
    Proxy::in_front_of(app).driver(driver).tls(certs.leaf(&["app.test"])).flags(&[
        "--tls-client-ca",
        &authority,
        "--tls-client-certificates",
        asked,
    ])
}

/// The alert by which a client is refused: in the handshake, or, in TLS 1.3, where its own part of it was done already, at the first read.
fn refusal(proxy: &Running, tls: &Tls) -> String {
    match Client::try_tls(proxy.https(), tls) {
        Err(error) => error.to_string(),
        Ok(mut client) => {
            client.offer("GET /refused HTTP/1.1\r\nHost: a\r\n\r\n");
            match client.rest() {
                (nothing, End::Malformed(alert)) if nothing.is_empty() => alert,
                other => panic!("not refused by an alert: {other:?}"),
            }
        }
    }
}
