//! The ManageSieve server against clients that are scripts, noise, or sockets.

pub(crate) mod desk;
mod dialogs;
mod noise;
mod player;
mod sockets;
