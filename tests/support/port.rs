//! Ports of our own, held from the moment they are chosen.

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// A loopback port that nobody else will be given while this lives. The socket that holds it is
/// bound and never listens, so connecting is refused until someone of this user listens there with
/// `SO_REUSEPORT`, as Ringbolt and [`super::Server`] do.
#[derive(Debug)]
pub struct Port {
    _held: Socket,
    pub address: SocketAddr,
}

impl Port {
    pub fn v4() -> Self {
        Self::hold("127.0.0.1:0".parse().unwrap())
    }

    pub fn v6() -> Self {
        Self::hold("[::1]:0".parse().unwrap())
    }

    /// The same port on another address of this machine.
    pub fn beside(&self, ip: &str) -> Self {
        Self::hold(SocketAddr::new(ip.parse().unwrap(), self.address.port()))
    }

    fn hold(address: SocketAddr) -> Self {
        let held = shared_socket(address);
        let address = held.local_addr().unwrap().as_socket().unwrap();
        Self {
            _held: held,
            address,
        }
    }

    /// A socket that listens here, beside the one that holds the port.
    pub fn listen(&self, backlog: i32) -> Socket {
        let socket = shared_socket(self.address);
        socket.listen(backlog).unwrap();
        socket
    }
}

fn shared_socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .unwrap();
    // The second for Ringbolt's question whether somebody else listens there already.
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}
