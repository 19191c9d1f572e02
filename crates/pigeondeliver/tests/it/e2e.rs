//! End to end: the binary between real mail servers on one side and real IMAP servers on the other.

mod antivirus;
mod exim;
mod imap;
mod kept;
mod leaving;
mod managesieve;
mod memory;
mod names;
mod postfix;
mod root;
mod sendmail;
mod settings;
mod spam;
mod verify;
