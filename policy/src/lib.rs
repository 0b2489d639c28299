//! The exact-match whitelist policy: model, loader, decision, and the certificate built from it.
