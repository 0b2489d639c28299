//! What the signer relies on when the store says `Ok`.
#![cfg(test)]

mod approvals;
mod attachments;
mod audit;
mod challenges;
mod durability;
mod expiring;
mod export;
mod full;
mod imports;
mod intents;
mod inventory;
mod issuers;
mod lineage;
mod log;
mod ocsp;
mod opening;
mod pending;
mod permit;
mod policies;
mod quirks;
mod recovery;
mod revocations;
mod rollovers;
mod support;
mod tampering;
