//! The isolated signer of the inner tier: the only process that decides and the only one that owns token workers.
//!
//! [`Prepared`] and [`Signer`] assemble it over an [`Environment`]: its store, its clock, its source of randomness; and
//! over a [`Token`](assay_hsm::Token) for each CA. [`run`] is the process around it, with its listeners.

mod administration;
mod admission;
mod app;
mod challenge_key;
mod clock;
mod config;
mod enrolment;
mod expiry;
mod generation;
mod issuing_ca;
mod log;
mod metrics;
mod ocsp;
mod pipeline;
mod policies;
mod ra;
mod random;
mod recorder;
mod revocation;
mod rollover;
mod serial;
mod serve;
mod settings;
mod terms;
mod upkeep;

pub use administration::AdministrationService;
pub use app::{Environment, Prepared, Signer, StartFailure};
pub use clock::{Clock, SystemClock};
pub use enrolment::EnrolmentService;
pub use random::{OpenSslRandom, Random};
pub use serve::{RunError, run};
pub use settings::Settings;
