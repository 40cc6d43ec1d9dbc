//! The client in plain Rust. Modules depend on each other in one direction only:
//! `client` → `cache`, `fleet`, `flight`, `endpoint`, `transport`, `retry`, `verdict` → `connection`, `secret`, `error`.
#![forbid(unsafe_code)]

pub mod cache;
pub mod client;
mod clock;
pub mod config;
pub mod connection;
mod connector;
pub mod endpoint;
mod engine;
pub mod error;
pub mod fleet;
mod flight;
mod gate;
mod json;
pub mod proxy;
mod retry;
pub mod secret;
pub mod stats;
pub mod tls;
mod transport;
mod verdict;

pub use client::Client;
