//! The parts of CMS (RFC 5652) under SCEP, for both directions and both sides.

pub(crate) mod algorithm;
pub(crate) mod attributes;
pub(crate) mod seal;
pub(crate) mod signed_data;
pub(crate) mod signed_message;
pub(crate) mod write;
