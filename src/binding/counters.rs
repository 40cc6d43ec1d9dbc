//! Owns the counters as JavaScript gets them.

use std::sync::atomic::Ordering;

use napi_derive::napi;

use crate::core::stats::{FleetError, FleetStats, Stats};

#[napi(object, object_from_js = false)]
pub struct BindingStats {
    pub calls: f64,
    pub requests: f64,
    pub retries: f64,
    pub coalesced: f64,
    pub cache_hits: f64,
    pub cache_misses: f64,
    pub failures: f64,
    pub rejections: f64,
    pub repairs: f64,
    pub in_flight: f64,
    pub queued: f64,
    pub fleet: Option<BindingFleetStats>,
}

#[napi(object, object_from_js = false)]
pub struct BindingFleetStats {
    pub hits: f64,
    pub misses: f64,
    pub errors: f64,
    pub is_bypassed: bool,
    pub last_error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub last_error_at: Option<f64>,
}

impl From<&FleetStats> for BindingFleetStats {
    fn from(fleet: &FleetStats) -> Self {
        let (last_error, last_error_at) =
            fleet.last_error().map(|FleetError { reason, at }| (reason.into_owned(), at)).unzip();
        Self {
            hits: fleet.hits.get() as f64,
            misses: fleet.misses.get() as f64,
            errors: fleet.errors.get() as f64,
            is_bypassed: fleet.is_bypassed.load(Ordering::Relaxed),
            last_error,
            last_error_at,
        }
    }
}

impl From<&Stats> for BindingStats {
    fn from(stats: &Stats) -> Self {
        Self {
            calls: stats.calls.get() as f64,
            requests: stats.requests.get() as f64,
            retries: stats.retries.get() as f64,
            coalesced: stats.coalesced.get() as f64,
            cache_hits: stats.cache_hits.get() as f64,
            cache_misses: stats.cache_misses.get() as f64,
            failures: stats.failures.get() as f64,
            rejections: stats.rejections.get() as f64,
            repairs: stats.repairs.get() as f64,
            in_flight: stats.in_flight.get() as f64,
            queued: stats.queued.get() as f64,
            fleet: stats.fleet.as_deref().map(BindingFleetStats::from),
        }
    }
}
