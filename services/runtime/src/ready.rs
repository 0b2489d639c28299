//! The ready file: it appears once a service listens, and says where.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a service tells its supervisor: its process and the addresses that it really bound, also for port 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Process id.
    pub pid: u32,
    /// SCEP over HTTP or HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Enrolment over gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<SocketAddr>,
    /// Administration over gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administration: Option<SocketAddr>,
    /// Metrics and health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops: Option<SocketAddr>,
}

impl Ready {
    /// Of this process, with no address yet.
    pub fn this_process() -> Self {
        Self {
            pid: std::process::id(),
            http: None,
            enrolment: None,
            administration: None,
            ops: None,
        }
    }

    /// Writes the file at once: a reader sees no file or the whole of it.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", self.pid));
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, path)
    }

    /// Reads a ready file.
    ///
    /// # Errors
    /// Where there is none, or it is something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}
