//! Ports people remember, or free ones where those are taken.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

pub(super) const HTTPS: u16 = 8443;
pub(super) const HTTP: u16 = 8080;
pub(super) const ADMIN: u16 = 7590;
pub(super) const APP: u16 = 3000;

/// Loopback with this port, or with one that the kernel gives.
pub(super) fn bind(preferred: u16) -> io::Result<TcpListener> {
    TcpListener::bind(loopback(preferred)).or_else(|_| TcpListener::bind(any()))
}

/// The same for a listener that another opens. Its workers share a port by SO_REUSEPORT, and would share it with another proxy of this
/// user without an error: a plain bind tells.
pub(super) fn choose(preferred: u16) -> SocketAddr {
    // A browser tries ::1 first for localhost, and would find whoever listens there.
    let other = TcpListener::bind((Ipv6Addr::LOCALHOST, preferred));
    let other_is_taken = other.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    match TcpListener::bind(loopback(preferred)) {
        Ok(_free) if !other_is_taken => loopback(preferred),
        Ok(_) | Err(_) => any(),
    }
}

/// Loopback, and the kernel chooses the port.
pub(super) fn any() -> SocketAddr {
    loopback(0)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_gives_another() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(bind(port).unwrap().local_addr().unwrap().port(), port);
        assert_eq!(choose(port), loopback(0));
    }
}
