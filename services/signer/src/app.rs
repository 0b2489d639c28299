//! The core with the two services over it.

use std::sync::Arc;

use assay_issuance::Issuance;

use crate::administration::AdministrationService;
use crate::enrolment::EnrolmentService;

/// The signer: its core, and what others may call.
pub struct Signer {
    issuance: Issuance,
    enrolment: Arc<EnrolmentService>,
    administration: Arc<AdministrationService>,
}

impl Signer {
    /// Offers what `issuance` does.
    pub fn new(issuance: Issuance) -> Self {
        Self {
            enrolment: Arc::new(EnrolmentService::new(&issuance)),
            administration: Arc::new(AdministrationService::new(&issuance)),
            issuance,
        }
    }

    /// What answers, and what is done by schedule.
    pub fn issuance(&self) -> &Issuance {
        &self.issuance
    }

    /// What frontends may call.
    pub fn enrolment(&self) -> &Arc<EnrolmentService> {
        &self.enrolment
    }

    /// What people may call.
    pub fn administration(&self) -> &Arc<AdministrationService> {
        &self.administration
    }
}
