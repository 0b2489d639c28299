//! Frames between parent and worker.
