//! What every service needs and no domain knows: configuration, tracing, metrics, mutual TLS, health, drain.
//!
//! - [`accept`]: the loop that accepts connections, and HTTP/1.1 within limits;
//! - [`buckets`]: token buckets, one or by key in bounded memory;
//! - [`config`]: TOML files whose errors name file, line and key;
//! - [`identity`]: who a process is between the tiers, `assay://ROLE/NAME`;
//! - [`mtls`]: TLS 1.3 with a certificate on both sides, and the allow-list that decides each call;
//! - [`telemetry`]: log lines and Prometheus metrics;
//! - [`ops`]: the listener of `/metrics`, `/healthz` and `/readyz`;
//! - [`drain`]: an orderly end on SIGTERM or SIGINT;
//! - [`ready`]: the file that tells a supervisor which addresses a service listens on.

pub mod accept;
pub mod buckets;
pub mod drain;
pub mod identity;
pub mod mtls;
pub mod ops;
pub mod ready;
pub mod telemetry;

pub use assay_config as config;
