//! What an auditor proves offline: that an export of the audit log is whole, and that each certificate in it was decided
//! as the policy of its day says.
//!
//! [`layout`] is the form of an export, for whoever writes one and for the verifier.

pub mod layout;
