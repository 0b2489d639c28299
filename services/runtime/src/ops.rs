//! The listener for operators' machines: `/metrics`, `/healthz`, `/readyz`. Plain HTTP, on an address of its own.

mod readiness;

use std::future::{pending, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};

use crate::accept::{Arriving, Bound, Bounds, HttpLimits, serve_http};
use crate::drain::Shutdown;
pub use readiness::Readiness;

/// Scrapers and probes are few; a flood of connections here must not take the service's file descriptors.
const CONNECTIONS: Bounds = Bounds {
    all: 32,
    // One address holds no more than half of them.
    each: 16,
};

const LIMITS: HttpLimits = HttpLimits {
    // A scraper that sends no request within this time is cut off; Prometheus' own default time-out is 10 s.
    header_timeout: Duration::from_secs(10),
    max_head: 16 << 10,
    age: Duration::from_secs(3_600),
    closing: Duration::from_secs(10),
};

/// How often histograms are folded when nobody scrapes; the exporter's own default.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EXPOSITION: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The `[ops]` section of a service's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsConfig {
    /// Address of `/metrics`, `/healthz` and `/readyz`; port 0 takes a free port.
    pub listen: SocketAddr,
}

/// The bound listener.
#[derive(Debug)]
pub struct Ops(Bound);

impl Ops {
    /// Binds the address.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn bind(config: &OpsConfig) -> io::Result<Self> {
        let bound = Bound::bind(config.listen);
        bound.map(Self).map_err(|error| {
            let text = format!("[ops] listen = \"{}\": {error}", config.listen);
            io::Error::new(error.kind(), text)
        })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Serves in the background until the shutdown has been drained: probes see a draining service as not ready.
    ///
    /// # Errors
    /// Where the runtime cannot watch the socket.
    pub fn serve(
        self,
        metrics: PrometheusHandle,
        readiness: Readiness,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let listener = self.0.listen()?;
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        });
        let pages = Pages {
            metrics,
            readiness,
            shutdown: shutdown.clone(),
        };
        tokio::spawn(listener.accept(
            "ops",
            CONNECTIONS,
            |_| false,
            move |stream, client, place| {
                let pages = pages.clone();
                tokio::spawn(async move {
                    let respond = |request| ready(pages.respond(&request));
                    serve_http(stream, client, &place, &LIMITS, pending(), respond).await;
                });
            },
        ));
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Pages {
    metrics: PrometheusHandle,
    readiness: Readiness,
    shutdown: Shutdown,
}

impl Pages {
    fn respond(&self, request: &Request<Arriving>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = page(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "GET or HEAD only\n".to_owned(),
            );
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => page(StatusCode::OK, EXPOSITION, self.metrics.render()),
            "/healthz" => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => self.ready(),
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                "/metrics, /healthz or /readyz\n".to_owned(),
            ),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let mut causes = self.readiness.causes();
        if self.shutdown.is_requested() {
            causes.push("shutdown: the service is stopping".to_owned());
        }
        let status = if causes.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let warnings = self.readiness.warnings();
        let mut body = serde_json::json!({ "ready": causes.is_empty(), "causes": causes });
        if let (Some(body), false) = (body.as_object_mut(), warnings.is_empty()) {
            body.insert("warnings".to_owned(), warnings.into());
        }
        let details = self.readiness.details();
        if let (Some(body), false) = (body.as_object_mut(), details.is_empty()) {
            body.insert("details".to_owned(), serde_json::json!(details));
        }
        page(status, JSON, format!("{body}\n"))
    }
}

fn page(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
