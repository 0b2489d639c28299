//! ASN.1: budgets and normalisation of BER, then a strict reader and a writer of DER.

pub(crate) mod ber;
pub(crate) mod oid;
pub(crate) mod read;
pub(crate) mod tag;
pub(crate) mod write;
