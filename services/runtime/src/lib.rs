//! What every service needs and no domain knows: configuration, tracing, metrics, mutual TLS, health, drain.
