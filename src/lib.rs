//! The native half of `xkit-node`: asks the Xkit Platform API for a third-party access token and judges the answer.
//!
//! `core` is the client and knows nothing of Node; `binding` is the only folder that does. Data crosses between them
//! in one direction per call: an owner and a slug go in, an outcome comes out.

// In unit tests napi registers no exports, so nothing there is called.
#[cfg_attr(test, allow(dead_code))]
mod binding;
mod core;

/// Measured over TLS: the CPU time of a call is a tenth less than with the system's allocator. It is loaded into a process
/// that runs already, hence thread-local storage that is found at run time (`local_dynamic_tls`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
