//! The client of a witness (C2SP tlog-witness): posts a checkpoint, one request on a connection of its own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_audit::Submission;
use assay_console::failure::{Exit, Failure, OrFail, Outcome};
use assay_console::files;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where Debian keeps the anchors of the web.
pub(super) const SYSTEM_ANCHORS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A witness that waits for its disk answers well within.
const DEADLINE: Duration = Duration::from_secs(20);
/// Octets of an answer: some lines of cosignatures.
const MAX_ANSWER: usize = 16 << 10;
/// Characters of a refusal that are shown.
const MAX_REASON: usize = 300;
const SIZE: &str = "text/x.tlog.size";

/// Submission prefix of a witness. A cosignature proves itself; TLS is for witnesses that offer nothing else.
#[derive(Clone, Debug)]
pub(super) struct Url {
    text: String,
    add_checkpoint: Uri,
}

impl Url {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::usage(format!("{text} is no URL of a witness"))
                .next("give http://HOST[:PORT][/PREFIX], or the same with https")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority), None) =
            (uri.scheme_str(), uri.authority(), uri.query())
        else {
            return Err(wrong());
        };
        let prefix = uri.path().trim_end_matches('/');
        let whole = format!("{scheme}://{authority}{prefix}/add-checkpoint");
        Ok(Self {
            text: text.to_owned(),
            add_checkpoint: whole.parse().map_err(|_| wrong())?,
        })
    }

    /// Whether anchors are needed.
    pub(super) fn is_https(&self) -> bool {
        self.add_checkpoint.scheme_str() == Some("https")
    }

    fn unreachable(&self) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!("{} cannot be reached", self.text),
        )
        .next("see that the witness runs and listens there")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a witness makes of a checkpoint.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Lines of signatures, not verified.
    Cosigned(String),
    /// The latest that it cosigned has this size.
    OtherSize(u64),
    Refused {
        status: u16,
        reason: String,
    },
}

pub(super) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    /// Takes an https witness whose certificate comes from one of the anchors, PEM; without anchors, none.
    pub(super) fn new(anchors: Option<&Path>) -> Outcome<Self> {
        let anchors = match anchors {
            Some(path) => read_anchors(path)?,
            None => RootCertStore::empty(),
        };
        // Never the process default, which another library may have set.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .or_fail("cannot set up TLS")?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = legacy::Client::builder(TokioExecutor::new());
        Ok(Self(client.pool_max_idle_per_host(0).build(connector)))
    }

    /// Posts a checkpoint.
    pub(super) async fn submit(&self, url: &Url, submission: &Submission) -> Outcome<Verdict> {
        let request = Request::post(&url.add_checkpoint)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(Full::new(Bytes::from(submission.to_body())))
            .or_fail("cannot make the request")?;
        let exchange = async {
            let answer = self.0.request(request).await;
            let (head, body) = answer
                .map_err(|error| url.unreachable().because(error))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| url.unreachable().because(error))?;
            Ok::<_, Failure>((head, body.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(DEADLINE, exchange)
            .await
            .map_err(|_| url.unreachable().because("no answer in time"))??;
        let text = String::from_utf8_lossy(&body);
        let kind = head.headers.get(CONTENT_TYPE);
        let is_size = kind.is_some_and(|kind| kind.as_bytes() == SIZE.as_bytes());
        Ok(match head.status {
            StatusCode::OK => Verdict::Cosigned(text.into_owned()),
            StatusCode::CONFLICT if is_size => Verdict::OtherSize(
                text.strip_suffix('\n')
                    .unwrap_or(&text)
                    .parse()
                    .or_fail(format!("{url} answers with no size"))?,
            ),
            status => Verdict::Refused {
                status: status.as_u16(),
                reason: text.trim().chars().take(MAX_REASON).collect(),
            },
        })
    }
}

/// Reads a PEM bundle. Certificates that cannot be anchors are skipped, as is usual with the bundles of browsers.
fn read_anchors(path: &Path) -> Outcome<RootCertStore> {
    let what = || format!("{} holds no trust anchors", path.display());
    let hint = "name a PEM bundle with --anchors";
    let pem = files::read(path).map_err(|failure| failure.next(hint))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .or_fail(what())?;
    let mut anchors = RootCertStore::empty();
    if anchors.add_parsable_certificates(found).0 == 0 {
        return Err(Failure::usage(what()).next(hint));
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests;
