//! Checks of a final TBSCertificate before it is signed; shares no code with its builder.
