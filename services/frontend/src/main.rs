//! The stateless SCEP frontend of the outer tier.

fn main() {}
