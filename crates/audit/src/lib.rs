//! Audit records: what happened to each request, in a form that can be proven.
