//! The ManageSieve server against clients that are scripts, noise, or sockets.

mod desk;
mod dialogs;
mod noise;
mod player;
mod sockets;
