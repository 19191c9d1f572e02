//! Opens the sockets on which clients connect: Unix, TCP, or handed down by the service manager.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::{Gid, Group, Uid, User};
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::{debug, warn};

use crate::systemd::InheritedSocket;

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A socket in the file system.
    Unix(UnixSocket),
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket of that name which the service manager opened (`FileDescriptorName=` of the socket unit).
    Inherited(String),
}

impl Default for ListenAddress {
    /// The Unix socket on which mail comes in.
    fn default() -> Self {
        Self::Unix(UnixSocket::default())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(socket) => write!(formatter, "unix:{}", socket.path.display()),
            Self::Tcp(address) => address.fmt(formatter),
            Self::Inherited(name) => write!(formatter, "inherited:{name}"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// Reads `unix:/path`, `inherited:name` or `192.0.2.1:24`; a Unix socket has the default mode and owner.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(UnixSocket { path: path.into(), ..UnixSocket::default() }));
        }
        if let Some(name) = text.strip_prefix("inherited:").filter(|name| !name.is_empty()) {
            return Ok(Self::Inherited(name.to_owned()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?} is no place to listen: write unix:/path, 127.0.0.1:24, [::1]:24 or inherited:name"
            )
        })
    }
}

/// A socket in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its path; the folder must exist. Default `/run/pigeondeliver/lmtp.sock`.
    pub path: PathBuf,
    /// Its permission bits: who may write may deliver. Default 0660.
    pub mode: u32,
    /// Its owner, a name or a number; none: the user of this process.
    pub owner: Option<String>,
    /// Its group, a name or a number; none: the group of this process.
    pub group: Option<String>,
}

impl Default for UnixSocket {
    fn default() -> Self {
        Self { path: "/run/pigeondeliver/lmtp.sock".into(), mode: 0o660, owner: None, group: None }
    }
}

/// A listener cannot be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {what}")]
pub struct ListenError {
    /// Where.
    pub address: ListenAddress,
    /// What was tried, what the system said, and what to do.
    pub what: String,
}

/// A listener that is open.
pub(crate) struct Bound {
    socket: Socket,
    place: ListenAddress,
}

enum Socket {
    /// With the device and inode of its file, when this process made it.
    Unix(UnixListener, Option<(u64, u64)>),
    Tcp(TcpListener),
}

/// A client, connected.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Bound {
    /// Opens a listener; a socket of the service manager is taken out of `inherited`.
    pub(crate) fn open(
        place: ListenAddress,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Result<Self, ListenError> {
        let opened = match &place {
            ListenAddress::Unix(unix) => open_unix(unix),
            ListenAddress::Tcp(address) => open_tcp(*address),
            ListenAddress::Inherited(name) => open_inherited(name, inherited),
        };
        match opened {
            Ok(socket) => Ok(Self { socket, place }),
            Err(what) => Err(ListenError { address: place, what }),
        }
    }

    /// Where it listens, as configured; with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> ListenAddress {
        match (&self.socket, &self.place) {
            (Socket::Tcp(socket), ListenAddress::Tcp(address)) => {
                ListenAddress::Tcp(socket.local_addr().unwrap_or(*address))
            }
            (_, place) => place.clone(),
        }
    }

    /// The next client, and where on the network it is.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Replies are small and written whole: waiting for more of them only costs time.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!("{address}: TCP_NODELAY: {error}");
                }
                Ok((Stream::Tcp(stream), Some(address)))
            }
        }
    }
}

impl Stream {
    /// Says something to a new client without waiting, and hangs up: its buffer is empty.
    pub(crate) fn turn_away(self, words: &str) {
        use std::io::Write as _;
        let sent = match self {
            Self::Unix(stream) => stream.into_std().and_then(|mut stream| stream.write_all(words.as_bytes())),
            Self::Tcp(stream) => stream.into_std().and_then(|mut stream| stream.write_all(words.as_bytes())),
        };
        if let Err(error) = sent {
            debug!("a client cannot be told that there are too many: {error}");
        }
    }
}

impl Drop for Bound {
    /// Removes the socket's file, unless another process has put its own there.
    fn drop(&mut self) {
        if let (Socket::Unix(_, Some(made)), ListenAddress::Unix(unix)) = (&self.socket, &self.place)
            && inode(&unix.path).ok().as_ref() == Some(made)
            && let Err(error) = std::fs::remove_file(&unix.path)
        {
            warn!("{} cannot be removed: {error}", unix.path.display());
        }
    }
}

fn open_tcp(address: SocketAddr) -> Result<Socket, String> {
    let listen = || {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    };
    listen().map(Socket::Tcp).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!("{error}; another program listens there"),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 need root, CAP_NET_BIND_SERVICE or a socket unit")
        }
        _ => error.to_string(),
    })
}

fn open_unix(unix: &UnixSocket) -> Result<Socket, String> {
    let owner = unix.owner.as_deref().map(user_id).transpose()?;
    let group = unix.group.as_deref().map(group_id).transpose()?;
    remove_stale(&unix.path)?;
    let socket = UnixListener::bind(&unix.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{error}; make its folder first"),
        _ => error.to_string(),
    })?;
    let made = inode(&unix.path).map_err(|error| error.to_string())?;
    if owner.is_some() || group.is_some() {
        std::os::unix::fs::chown(&unix.path, owner, group)
            .map_err(|error| format!("its owner cannot be set: {error}"))?;
    }
    std::fs::set_permissions(&unix.path, std::fs::Permissions::from_mode(unix.mode))
        .map_err(|error| format!("its mode cannot be set: {error}"))?;
    Ok(Socket::Unix(socket, Some(made)))
}

/// Removes a socket that a process left behind: one on which nobody answers.
fn remove_stale(path: &Path) -> Result<(), String> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if !metadata.file_type().is_socket() {
        return Err("there is something that is not a socket; remove it or choose another path".to_owned());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| format!("the old socket cannot be removed: {error}"))
        }
        Err(error) => Err(format!("there is a socket that cannot be asked: {error}")),
        Ok(_) => Err("another process answers there".to_owned()),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn user_id(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let user = User::from_name(name).map_err(|error| format!("the user {name:?}: {error}"))?;
    user.map(|user| Uid::as_raw(user.uid)).ok_or_else(|| format!("there is no user {name:?}"))
}

fn group_id(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let group = Group::from_name(name).map_err(|error| format!("the group {name:?}: {error}"))?;
    group.map(|group| Gid::as_raw(group.gid)).ok_or_else(|| format!("there is no group {name:?}"))
}

fn open_inherited(name: &str, inherited: &mut Vec<InheritedSocket>) -> Result<Socket, String> {
    let place = inherited.iter().position(|socket| socket.name == name).ok_or_else(|| {
        let names: Vec<&str> = inherited.iter().map(|socket| socket.name.as_str()).collect();
        format!("the service manager passed no socket of that name (it passed: {})", names.join(", "))
    })?;
    from_descriptor(inherited.swap_remove(place).socket).map_err(|error| error.to_string())
}

fn from_descriptor(descriptor: OwnedFd) -> io::Result<Socket> {
    if !socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("the socket does not listen; the unit needs ListenStream="));
    }
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    if socket_domain(&descriptor)? == AddressFamily::UNIX {
        return UnixListener::from_std(descriptor.into()).map(|socket| Socket::Unix(socket, None));
    }
    TcpListener::from_std(descriptor.into()).map(Socket::Tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_read_and_shown() {
        for text in ["unix:/run/x.sock", "127.0.0.1:24", "[::1]:24", "inherited:pigeon-lmtp.socket"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost:24", "/run/x.sock", "inherited:"] {
            assert!(text.parse::<ListenAddress>().unwrap_err().contains("unix:/path"), "{text}");
        }
    }

    #[tokio::test]
    async fn inherited_sockets_are_found_by_name() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (idle, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut inherited = vec![
            InheritedSocket { name: "lmtp".to_owned(), socket: tcp.into() },
            InheritedSocket { name: "other".to_owned(), socket: idle.into() },
        ];
        let mut open = |name: &str| {
            let address = ListenAddress::Inherited(name.to_owned());
            Bound::open(address, &mut inherited).map_err(|error| error.to_string()).map(drop)
        };
        assert_eq!(open("lmtp"), Ok(()));
        assert!(open("lmtp").unwrap_err().contains("it passed: other"));
        assert!(open("other").unwrap_err().contains("does not listen"));
    }
}
