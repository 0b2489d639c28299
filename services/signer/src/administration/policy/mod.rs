//! Policy: one approved version in force at a time, kept byte for byte with all that was signed.

mod activate;
mod basis;
mod candidate;
mod show;
mod stop;

pub(super) use activate::{activate, check};
pub(super) use basis::basis;
pub(super) use show::{as_proposed, list, show};
pub(super) use stop::stop;
