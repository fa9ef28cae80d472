//! The client port: whether it can be had, and listening on it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::ServerError;
use crate::config::Config;

/// How long a start waits for a port that is taken.
const PORT_WAIT: Duration = Duration::from_secs(3);

/// One listener a shard on one port: the kernel spreads connections over them.
pub(super) fn listen(config: &Config, shards: usize) -> Result<Vec<TcpListener>, ServerError> {
    let mut address = config.client_address();
    let mut listeners = Vec::with_capacity(shards);
    // Sharing the port among our own shards would share it with another server of the same user as well: look first
    // whether anybody has it.
    drop(free_port(address).map_err(refused(address))?);
    for _ in 0..shards {
        let socket = socket(address, true).map_err(refused(address))?;
        let backlog = match config.client_port_listen_backlog {
            n if n > 0 => n,
            _ => 4096,
        };
        socket.listen(backlog).map_err(refused(address))?;
        // Connections inherit it.
        socket.set_keepalive(config.client_tcp_keep_alive).map_err(refused(address))?;
        let listener = TcpListener::from(socket);
        // With port 0 the first takes a free one, and the others join it there.
        address = listener.local_addr().map_err(refused(address))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Fails if somebody has the client port, after a while.
pub(super) fn look(config: &Config) -> Result<(), ServerError> {
    let address = config.client_address();
    free_port(address).map(drop).map_err(refused(address))
}

fn refused(address: SocketAddr) -> impl Fn(std::io::Error) -> ServerError {
    move |error| ServerError::Listen { address, error }
}

/// Waits a while for a port that is taken: the kernel closes the sockets of a server that was killed some time after
/// its process has gone, because its ring has them, too.
fn free_port(address: SocketAddr) -> std::io::Result<Socket> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match socket(address, false) {
            Err(e) if e.kind() == ErrorKind::AddrInUse && began.elapsed() < PORT_WAIT => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        "{address} is taken; waiting for it for {PORT_WAIT:?} at the most"
                    );
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
