//! Policy: one approved version in force at a time, kept byte for byte with all that was signed.

mod activate;
mod basis;
mod candidate;
mod load;
mod show;
mod stop;

pub(super) use activate::{activate, check};
pub(super) use basis::basis;
pub(crate) use load::load_active;
pub(super) use show::{as_proposed, list, show};
pub(super) use stop::stop;

/// Several errors as one text.
fn lines<T: ToString>(errors: &[T], separator: &str) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join(separator)
}
