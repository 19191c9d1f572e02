//! What a client may use up before it is cut short.

use std::time::Duration;

/// Limits of ManageSieve sessions. All hold for each connection, but for those of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManageSieveLimits {
    /// Longest line in octets, line end included; longer ones end the connection. Default 8192.
    pub line_octets: usize,
    /// Longest script in octets that is read at all; the settings of an account may allow less. Default 1 MiB.
    pub script_octets: u64,
    /// Logins that fail before the connection ends. Default 4.
    pub failures: u32,
    /// How long the answer to a failed login waits; doubled by each further one from the same address. Default 1 second.
    pub failure_delay: Duration,
    /// Broken commands before the connection ends. Default 20.
    pub errors: u32,
    /// How long a client may take to log in. Default 2 minutes.
    pub login_time: Duration,
    /// How long a client that has logged in may take for one command, or to read an answer. Default 5 minutes.
    pub command_time: Duration,
    /// How long a client that has logged in may be silent. Default 30 minutes, the least that RFC 5804 §1.2 allows.
    pub idle_time: Duration,
    /// Open connections of one listener; more are turned away. Default 1000.
    pub connections: usize,
    /// Open connections from one IPv4 address or one IPv6 network of 64 bits; more are turned away. Default 20.
    pub connections_per_client: usize,
    /// How long a shutdown waits for commands that are being carried out. Default 10 seconds.
    pub shutdown_time: Duration,
}

impl Default for ManageSieveLimits {
    fn default() -> Self {
        Self {
            line_octets: 8192,
            script_octets: 1 << 20,
            failures: 4,
            failure_delay: Duration::from_secs(1),
            errors: 20,
            login_time: Duration::from_secs(120),
            command_time: Duration::from_secs(300),
            idle_time: Duration::from_secs(1800),
            connections: 1000,
            connections_per_client: 20,
            shutdown_time: Duration::from_secs(10),
        }
    }
}
