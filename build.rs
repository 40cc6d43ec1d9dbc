//! Lets cargo build an addon for Node.

fn main() {
    napi_build::setup();
}
