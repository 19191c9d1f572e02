//! Link options of the small program: it starts once for each message, so its start is part of every delivery.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // At a fixed address there is nothing to relocate; symbols of the C library are looked up when first used.
    for option in ["-no-pie", "-Wl,-z,lazy"] {
        println!("cargo::rustc-link-arg-bin=pigeon-deliver={option}");
    }
}
