//! TLS termination. In: certificate files, bytes of a connection. Out: a `rustls::ServerConfig` shared by all workers, plain bytes.
//!
//! Must not know: HTTP, routes.

mod certs;
mod client_auth;
mod pair;
mod stream;
mod watch;

pub use certs::{Certificates, Expiry};
pub use pair::{CertError, Problem};
pub(crate) use stream::{TlsError, TlsStream};
pub use watch::Watch;
