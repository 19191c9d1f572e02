//! What a client may use up before it is cut short.

use std::time::Duration;

/// Limits of LMTP sessions. All hold for each connection, but for [`connections`](Self::connections).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LmtpLimits {
    /// Longest command line in octets, line end included; longer ones are answered with 500. At least 512
    /// (RFC 5321 §4.5.3.1.4); the default of 4096 has room for the parameters of all extensions.
    pub line_octets: usize,
    /// Recipients of one message; more are answered with 452 4.5.3. At least 100 (RFC 5321 §4.5.3.1.8);
    /// default 1000.
    pub recipients: usize,
    /// Octets of one message; larger ones are refused with 552 5.3.4. Default 100 MiB.
    pub message_octets: u64,
    /// Protocol errors since the last message that came in; at this many the connection ends with 421 4.7.0.
    /// Unknown recipients are no protocol errors. Default 20.
    pub errors: u32,
    /// How long a client may take for the next command inside a transaction, or for the rest of a command.
    /// Default 5 minutes (RFC 5321 §4.5.3.2.7).
    pub command_time: Duration,
    /// How long a client may pause inside a message, or leave replies unread. Default 3 minutes
    /// (RFC 5321 §4.5.3.2.5).
    pub data_time: Duration,
    /// How long a connection may be idle between messages. Default 5 minutes.
    pub idle_time: Duration,
    /// Open connections of one listener; more are turned away with 421 4.3.2. Default 1000.
    pub connections: usize,
    /// How long a shutdown waits for messages that are coming in or being delivered. Default 20 seconds.
    pub shutdown_time: Duration,
}

impl Default for LmtpLimits {
    fn default() -> Self {
        Self {
            line_octets: 4096,
            recipients: 1000,
            message_octets: 100 << 20,
            errors: 20,
            command_time: Duration::from_secs(300),
            data_time: Duration::from_secs(180),
            idle_time: Duration::from_secs(300),
            connections: 1000,
            shutdown_time: Duration::from_secs(20),
        }
    }
}
