//! A connection to a collector: TCP, TLS where the URL says so, and hyper's HTTP on it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::settings::{Protocol, Target, TlsFiles};

/// One connection, for one request at a time.
pub(super) struct Connection {
    sender: Sender,
    /// Moves its bytes; it ends with the connection.
    driver: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Errors: why there is none, for people.
    pub async fn open(target: &Target) -> Result<Connection, String> {
        let url = &target.url;
        let failed = |what: &str, error: &dyn fmt::Display| format!("{what}: {error}");
        let tcp = TcpStream::connect((url.host.as_str(), url.port)).await;
        let tcp = tcp.map_err(|error| failed("it cannot be connected to", &error))?;
        let _ = tcp.set_nodelay(true);
        let opened = if url.is_tls {
            let connector = TlsConnector::from(Arc::new(tls(&target.tls, target.protocol)?));
            let name =
                ServerName::try_from(url.host.clone()).map_err(|error| failed("its name is none of TLS", &error))?;
            let tls = connector.connect(name, tcp).await.map_err(|error| failed("the TLS handshake failed", &error))?;
            Connection::over(tls, target.protocol).await
        } else {
            Connection::over(tcp, target.protocol).await
        };
        opened.map_err(|error| failed("it does not speak HTTP", &error))
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        protocol: Protocol,
    ) -> hyper::Result<Connection> {
        let io = TokioIo::new(stream);
        match protocol {
            Protocol::HttpProtobuf => {
                let (sender, connection) = http1::handshake(io).await?;
                let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
                Ok(Connection { sender: Sender::Http1(sender), driver })
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
                Ok(Connection { sender: Sender::Http2(sender), driver })
            }
        }
    }

    /// Whether it can take a request now.
    pub async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Read anew for each connection, so that files may be replaced.
pub(super) fn tls(files: &TlsFiles, protocol: Protocol) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unreadable(path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this system has no roots of trust: give them with OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned()
                );
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder.with_client_auth_cert(certificates(chain)?, private).map_err(|error| unreadable(chain, &error))?
        }
    };
    config.alpn_protocols = match protocol {
        Protocol::HttpProtobuf => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    let all = all.map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        return Err(unreadable(path, &io::Error::other("it holds no certificate")));
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> String {
    format!("{} cannot be used: {error}", path.display())
}
