//! SCEP (RFC 8894) messages: bytes to types and back, for servers and clients; no I/O and no private keys.
