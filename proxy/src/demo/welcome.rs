//! What a person reads first: where everything is, and lines to paste.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ports;

/// Where the demo's parts listen.
pub(super) struct Places {
    pub(super) app: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) ca: PathBuf,
}

pub(super) fn welcome(out: &mut impl Write, places: &Places) -> io::Result<()> {
    let Places { app, https, http, admin, ca } = places;
    let (https, http) = (format!("https://localhost:{}", https.port()), format!("http://localhost:{}", http.port()));
    let curl = format!("curl --cacert {}", quoted(&ca.to_string_lossy()));

    writeln!(out, "\nSlipstream demo: a small app, the proxy in front of it, and a little traffic of its own.\n")?;
    writeln!(out, "  open in a browser   {http}/")?;
    writeln!(out, "  the same over TLS   {https}/   (a browser warns: it does not know this demo's CA)")?;
    writeln!(out, "  the app itself      http://{app}/   (without the proxy, to compare)")?;
    if let Some(admin) = admin {
        writeln!(out, "  metrics, policy     http://{admin}/metrics   http://{admin}/config")?;
    }
    for (what, preferred, address) in places.taken() {
        writeln!(out, "  note: port {preferred} is taken, so {what} listens on {}", address.port())?;
    }

    writeln!(out, "\nTry, in another terminal:\n")?;
    writeln!(out, "  {curl} {https}/hello")?;
    writeln!(out, "  {curl} {https}/headers")?;
    writeln!(out, "  {curl} '{https}/slow?ms=2000'")?;
    writeln!(out, "  {curl} -o /dev/null '{https}/big?bytes=1000000000'")?;
    writeln!(out, "  {curl} --data-binary 'sent and echoed' {https}/echo")?;
    writeln!(out, "  {curl} --max-time 1 '{https}/slow?ms=5000'     # a client that leaves")?;
    writeln!(
        out,
        "  curl -H 'Content-Length: 5' -H 'Transfer-Encoding: chunked' --data hello {http}/echo     # refused: 400"
    )?;
    writeln!(out, "\nCtrl-C ends it.\n")?;
    out.flush()
}

impl Places {
    /// Whose preferred port was taken.
    fn taken(&self) -> impl Iterator<Item = (&'static str, u16, SocketAddr)> {
        let parts = [
            ("https", ports::HTTPS, Some(self.https)),
            ("http", ports::HTTP, Some(self.http)),
            ("admin", ports::ADMIN, self.admin),
            ("the app", ports::APP, Some(self.app)),
        ];
        let placed = parts.into_iter().filter_map(|(what, preferred, address)| Some((what, preferred, address?)));
        placed.filter(|(_, preferred, address)| address.port() != *preferred)
    }
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(app: &str) -> String {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let places = Places {
            app: app.parse().unwrap(),
            https: at(8443),
            http: at(41_000),
            admin: Some(at(7590)),
            ca: "/tmp/a b/ca.pem".into(),
        };
        let mut out = Vec::new();
        welcome(&mut out, &places).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_can_be_pasted_and_taken_ports_are_told() {
        let text = told("127.0.0.1:3000");
        assert!(text.contains("  curl --cacert '/tmp/a b/ca.pem' https://localhost:8443/hello\n"), "{text}");
        assert!(text.contains("note: port 8080 is taken, so http listens on 41000\n"), "{text}");
        assert_eq!(text.matches("is taken").count(), 1, "{text}");
    }
}
