//! PKCS#11 tokens behind killable worker processes: key roles, preflight, health and recovery.
