//! The client under schedules of threads that really interleave: any thread may stop at any lock or atomic, and another one
//! go on. `cargo test` tries some hundred schedules of each scenario, `npm run test:threads` many more. What fails is
//! replayed by the schedule that shuttle prints.
//!
//! The tokens, the client, the fetches in flight, the validity, the fleet and the bridge's queue are the real ones; the
//! platform is a `Source` of this folder, Redis is the simulator's, and time stands still.

mod bridge;
mod explore;
mod fleet;
mod redis;
mod rig;
mod scenarios;
mod scheduler;
mod source;
