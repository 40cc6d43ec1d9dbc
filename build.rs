//! Lets cargo build an addon for Node.

#[allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its target in the environment alone"
)]
fn main() {
    napi_build::setup();
    // A worker that ends would unload the addon, and with it the code that its threads still have to run: that of the
    // runtime, and what the allocator does at the end of a thread.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
