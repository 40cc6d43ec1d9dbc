//! The client in plain Rust. Modules depend on each other in one direction only:
//! `client` → `cache`, `fleet`, `flight`, `endpoint`, `transport`, `retry`, `verdict` → `connection`, `secret`, `error`.
#![forbid(unsafe_code)]

pub mod client;
mod clock;
pub mod config;
pub mod connection;
pub mod error;
pub mod fleet;
pub mod http;
mod json;
pub mod platform;
pub mod secret;
pub mod stats;
pub mod tokens;

pub use client::Client;
