//! The ceremonies against SoftHSM: of the first CA, and of one that takes over.

mod bench;
mod first;
mod next;
mod responder;
