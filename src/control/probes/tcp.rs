//! Connecting: the whole of a TCP check, and how the other kinds begin.
//!
//! Where the server waits for a PROXY header, it is told that this is a check.

use crate::balance::Sources;
use crate::config::{Address, ProxyVersion};
use crate::control::sources;
use crate::wire::proxy_header::{self, Endpoints};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// A connection of either kind.
pub(super) type Stream = Box<dyn Duplex>;

/// What can be read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection from one of these addresses, with its PROXY header sent.
pub(super) async fn connect(
    address: &Address,
    sources: &Sources,
    introduce: Option<ProxyVersion>,
) -> io::Result<Stream> {
    let (mut stream, ends): (Stream, _) = match address {
        Address::Ip(address) => {
            let stream = sources::connect(*address, sources).await?;
            let source = stream.local_addr()?;
            let destination = *address;
            let ends = Endpoints {
                source,
                destination,
            };
            (Box::new(stream), Some(ends))
        }
        Address::Unix(path) => (Box::new(UnixStream::connect(path).await?), None),
    };
    if let Some(version) = introduce {
        stream
            .write_all(&introduction(version, ends.as_ref()))
            .await?;
    }
    Ok(stream)
}

/// Of a connection on our own account, as HAProxy's `check-send-proxy`: `LOCAL` in version 2; version 1 has no such
/// word, and some servers refuse `UNKNOWN`, so there the connection's own addresses stand (section 2.1).
fn introduction(version: ProxyVersion, ends: Option<&Endpoints>) -> Vec<u8> {
    let ends = ends.filter(|_| version == ProxyVersion::V1);
    let mut header = Vec::new();
    proxy_header::write(version, ends, &mut header);
    header
}
