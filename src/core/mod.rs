//! The client in plain Rust. Modules depend on each other in one direction only:
//! `client` → `endpoint`, `transport`, `retry`, `verdict` → `secret`, `error`.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
pub mod connection;
pub mod endpoint;
pub mod error;
mod gate;
pub mod proxy;
mod retry;
pub mod secret;
pub mod stats;
pub mod tls;
mod transport;
mod verdict;

pub use client::Client;
