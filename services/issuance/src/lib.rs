//! The core of the signer: what answers devices, and what it does by itself, over a [`Token`](assay_hsm::Token) for each CA
//! and an [`Environment`] of store, clock and randomness. It knows no configuration file, no gRPC and no people.
//!
//! [`Prepared`] and [`Issuance`] assemble it, in the order in which each part may refuse to start.

mod admission;
mod anchor;
mod app;
mod challenge_key;
mod clock;
mod expiry;
mod generation;
mod issuing_ca;
mod load_active;
mod log;
mod metrics;
mod ocsp;
mod own_certificate;
mod pipeline;
mod policies;
mod ra;
mod random;
mod record_budget;
mod recorder;
mod recovery;
mod revocation;
mod rollover;
mod serial;
mod settings;
mod terms;
mod upkeep;

pub use app::{Environment, Issuance, Parts, Prepared, StartFailure};
pub use challenge_key::{ChallengeKey, DrawnChallenge};
pub use clock::{Clock, ClockJumped, ClockState, NoBootId, NotAccepted, SystemClock};
pub use generation::Generation;
pub use issuing_ca::IssuingCa;
pub use log::{Log, NoCheckpoint};
pub use metrics::describe as describe_metrics;
pub use ocsp::{Ocsp, OcspAnswer};
pub use own_certificate::{MAX_CERTIFICATE, NotOwn, OwnCertificate};
pub use pipeline::{Answer, Pipeline, Received, Waiting};
pub use policies::{ActivePolicy, Changing, InForce, NotApproved, Policies};
pub use ra::warn_of_single_ra;
pub use random::{OpenSslRandom, Random};
pub use recorder::{AcceptClockError, Recorder};
pub use recovery::{propose_recovery, recover};
pub use rollover::{Generations, PlannedCa, PlannedStep, RolloverPlan, Stage};
pub use settings::{
    Certificates, CrlConfig, GenerationSettings, LimitsConfig, LogSettings, OcspSchedule,
    ResponderSettings, RolloverSettings, Settings,
};
pub use terms::{Approval, Terms};
