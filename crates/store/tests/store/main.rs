//! What the signer relies on when the store says `Ok`.
#![cfg(test)]

mod audit;
mod challenges;
mod durability;
mod intents;
mod inventory;
mod opening;
mod permit;
mod policies;
mod support;
