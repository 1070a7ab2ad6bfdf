//! How a client speaks: cases that hold for both are played on both.

use crate::{Certs, Client, Running, Tls};

/// The name that a proxy's certificate is for where a case plays both ways.
pub const NAME: &str = "app.test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    Tls,
}

impl Way {
    pub const BOTH: [Way; 2] = [Way::Plain, Way::Tls];

    /// A connection to the listener of this way; the certificate is for [`NAME`].
    pub fn client(self, proxy: &Running, certs: &Certs) -> Client {
        match self {
            Way::Plain => proxy.client(),
            Way::Tls => Client::tls(proxy.https(), &Tls::to(NAME, certs)),
        }
    }
}
