//! assay: demo, ceremony, challenges, policy tools and benchmark.

fn main() {}
