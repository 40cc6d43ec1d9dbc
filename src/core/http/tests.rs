//! Tests of a transport against servers and proxies of this machine.

pub mod certificates;
mod clear;
mod frames;
mod http2;
pub mod rig;
mod secure;
mod server;
