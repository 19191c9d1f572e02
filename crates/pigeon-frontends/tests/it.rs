//! The LMTP and ManageSieve servers against clients that are scripts, noise, or sockets.

#[cfg(test)]
mod it {
    mod batches;
    mod conversation;
    mod dialog_script;
    mod dialogs;
    mod managesieve;
    mod noise;
    mod post_office;
    mod sockets;
    mod systemd;
}
