//! Apps that are not there: addresses that refuse, and addresses that never answer a connect.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::Origin;

/// A port that refuses connections for as long as this value lives: bound, so that nobody else gets it, and never listening.
pub struct Refusing(Socket);

impl Refusing {
    pub fn new() -> Refusing {
        Refusing(bound())
    }
}

impl Default for Refusing {
    fn default() -> Refusing {
        Refusing::new()
    }
}

impl Origin for Refusing {
    fn address(&self) -> SocketAddr {
        address(&self.0)
    }
}

/// A port whose backlog is full: the kernel drops further SYNs, so a connect neither succeeds nor fails.
pub struct Unanswering {
    listener: Socket,
    _backlog: Vec<Socket>,
}

impl Unanswering {
    pub fn new() -> Unanswering {
        let listener = bound();
        listener.listen(0).unwrap();
        // Linux queues backlog + 1 connections; the surplus sits in SYN_SENT and harms nobody.
        let backlog = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address(&listener).into());
            socket
        });
        let backlog = backlog.collect();
        Unanswering { listener, _backlog: backlog }
    }
}

impl Default for Unanswering {
    fn default() -> Unanswering {
        Unanswering::new()
    }
}

impl Origin for Unanswering {
    fn address(&self) -> SocketAddr {
        address(&self.listener)
    }
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket
}

fn address(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}
