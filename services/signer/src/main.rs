//! The isolated signer of the inner tier: the only process that decides and the only one that owns token workers.

fn main() {}
