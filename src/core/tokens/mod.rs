//! What is known of tokens: which are kept, and which are being fetched.

pub mod cache;
pub mod in_flight;
