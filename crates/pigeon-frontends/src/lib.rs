//! How mail comes in: the LMTP server, and the Unix MDA interface; and how people come in: ManageSieve.
//!
//! A front-end turns what a mail server says into an envelope and a message, hands both to the core's
//! agent and turns the receipts into replies or exit codes. It decides nothing about mail.

pub mod id;
pub mod listener;
pub mod lmtp;
pub mod managesieve;
pub mod pipe;
pub mod stop;
pub mod systemd;
pub mod tls;
