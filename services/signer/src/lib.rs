//! The isolated signer of the inner tier: the only process that decides.
//!
//! [`Signer`] is the core, `assay_issuance`, with the services for frontends and people over it. [`run`] is the process
//! around it, with its listeners; [`Settings`] is its configuration file.

mod administration;
mod app;
mod config;
mod enrolment;
mod metrics;
mod serve;
mod settings;

pub use administration::AdministrationService;
pub use app::Signer;
pub use enrolment::EnrolmentService;
pub use serve::{Listeners, RunError, create_state, propose_recovery, recover, run};
pub use settings::Settings;
