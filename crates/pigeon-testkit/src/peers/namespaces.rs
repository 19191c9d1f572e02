//! Several machines on one network, as far as a test can tell: network namespaces whose cables can be pulled.
//!
//! The nodes' cables end in a switch that stands in a namespace of its own, so that no firewall of the machine judges
//! what they say to each other. The machine has a cable too: a [`super::Link`] on [`Namespaces::host`] lets the nodes
//! reach a server that listens on 127.0.0.1.

use std::fs::{self, File, TryLockError};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};

use super::server::{answer, feed};
use super::{PeerFault, has_command};

/// Networks that tests may have at the same time, each with a third byte of 198.18.0.0/15, the addresses that
/// RFC 2544 sets aside for tests of networks.
const NETWORKS: std::ops::Range<u8> = 0..255;
/// The nodes that have room below the machine's own address.
const MOST_NODES: u8 = 200;
/// The last byte of the machine's own address in each network.
const HOST: u8 = 254;
/// Where the tests meet, one file for each network.
const LOCKS: &str = "/tmp/pigeon-test-networks";

/// Nodes, numbered from 0, on one network. Dropping it removes the network; programs that still run in a node keep
/// their namespace until they end.
#[derive(Debug)]
pub struct Namespaces {
    network: u8,
    nodes: u8,
    _lock: File,
}

impl Namespaces {
    /// Makes this many nodes, at most 200, which all reach each other and the machine.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Unavailable`] without root, `ip` and `nsenter`, or where the kernel or a container has no namespaces,
    /// bridges or pairs of interfaces for us.
    pub fn start(nodes: u8) -> Result<Self, PeerFault> {
        let unavailable = |reason: String| PeerFault::Unavailable(format!("network namespaces: {reason}"));
        if !rustix::process::geteuid().is_root() {
            return Err(unavailable("making them needs root".to_owned()));
        }
        for tool in ["ip", "nsenter"] {
            if !has_command(tool) {
                return Err(unavailable(format!("the command {tool} is missing")));
            }
        }
        if nodes > MOST_NODES {
            return Err(anyhow!("{nodes} nodes are more than {MOST_NODES}").into());
        }
        let (network, lock) = take()?;
        let namespaces = Self { network, nodes, _lock: lock };
        // A test that was killed may have left some.
        namespaces.remove();
        namespaces.make().map_err(|error| unavailable(format!("{error:#}")))?;
        namespaces.configure()?;
        Ok(namespaces)
    }

    /// The namespaces, the switch and the cables.
    fn make(&self) -> anyhow::Result<()> {
        let (hub, host, process) = (self.hub(), self.interface(), std::process::id());
        let names = (0..self.nodes).map(|node| format!("netns add {}\n", self.name(node)));
        ip(&[], &names.chain([format!("netns add {hub}\n")]).collect::<String>())?;
        let cables = (0..self.nodes)
            .map(|node| format!("link add v{node} type veth peer name eth0 netns {}\n", self.name(node)))
            .chain([format!("link add host type veth peer name {host} netns {process}\n")]);
        let switches = "link add whole type bridge\nlink add apart type bridge\n".to_owned();
        ip(&["-n", &hub], &cables.chain([switches]).collect::<String>())
    }

    /// Addresses, and everything plugged in and switched on.
    fn configure(&self) -> anyhow::Result<()> {
        let switches = ["link set whole up\nlink set apart up\nlink set host master whole up\n".to_owned()];
        let ports = (0..self.nodes).map(|node| format!("link set v{node} master whole up\n"));
        self.switch(switches.into_iter().chain(ports))?;
        for node in 0..self.nodes {
            let address = self.address(node);
            let lines = format!("address add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n");
            ip(&["-n", &self.name(node)], &lines)?;
        }
        let interface = self.interface();
        ip(&[], &format!("address add {}/24 dev {interface}\nlink set {interface} up\n", self.host()))
    }

    /// A node's address.
    #[must_use]
    pub fn address(&self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, node + 1)
    }

    /// The machine's own address in this network.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, HOST)
    }

    /// A node's name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self, node: u8) -> String {
        format!("{}{node}", self.prefix())
    }

    /// The command, to be run in a node: with the same program, arguments, environment and directory. Input and output
    /// are to be set on what is returned; the process that it starts is the program itself.
    #[must_use]
    pub fn run_in(&self, node: u8, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/run/netns/{}", self.name(node)));
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    /// Pulls a node's cable: it reaches nobody, and who sends to it waits in vain.
    ///
    /// # Errors
    ///
    /// Fails if `ip` does.
    pub fn isolate(&self, node: u8) -> anyhow::Result<()> {
        self.switch([format!("link set v{node} nomaster\n")])
    }

    /// Parts the network: these nodes reach each other only; the others reach each other and the machine.
    ///
    /// # Errors
    ///
    /// Fails if `ip` does.
    pub fn split(&self, apart: &[u8]) -> anyhow::Result<()> {
        self.switch((0..self.nodes).map(|node| {
            let switch = if apart.contains(&node) { "apart" } else { "whole" };
            format!("link set v{node} master {switch}\n")
        }))
    }

    /// Plugs every node in again.
    ///
    /// # Errors
    ///
    /// Fails if `ip` does.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.split(&[])
    }

    fn switch(&self, lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        ip(&["-n", &self.hub()], &lines.into_iter().collect::<String>())
    }

    fn prefix(&self) -> String {
        format!("pigeon-{}-", self.network)
    }

    fn hub(&self) -> String {
        format!("{}hub", self.prefix())
    }

    /// The machine's end of its own cable.
    fn interface(&self) -> String {
        format!("pigeon{}", self.network)
    }

    /// Removes whatever there is of this network.
    fn remove(&self) {
        let prefix = self.prefix();
        let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        for name in names.filter(|name| name.starts_with(&prefix)) {
            ip(&[], &format!("netns delete {name}\n")).unwrap_or_default();
        }
        let interface = self.interface();
        if Path::new("/sys/class/net").join(&interface).exists() {
            // It may have gone with its other end meanwhile.
            ip(&[], &format!("link delete {interface}\n")).unwrap_or_default();
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Runs lines of `ip` commands; the first that fails is the last.
fn ip(options: &[&str], lines: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    command.args(options).args(["-batch", "-"]);
    answer(&feed(command, lines)?).map(drop).with_context(|| format!("ip {}", options.join(" ")))
}

/// A network that no other test has.
fn take() -> anyhow::Result<(u8, File)> {
    fs::create_dir_all(LOCKS)?;
    for network in NETWORKS {
        let lock = File::create(Path::new(LOCKS).join(network.to_string()))?;
        match lock.try_lock() {
            Ok(()) => return Ok((network, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    bail!("all networks are in use")
}
