//! The harness that starts the real processes, and the tests that drive them with clients we did not write.
