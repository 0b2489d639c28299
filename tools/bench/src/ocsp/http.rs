//! Plain HTTP over connections that are kept.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::failure::{Failure, OrFail, Outcome};

/// A page of metrics is the largest.
const MAX_ANSWER: usize = 1024 * 1024;

#[derive(Clone)]
pub(super) struct Http(Client<HttpConnector, Full<Bytes>>);

impl Http {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    pub(super) async fn get(&self, url: &str) -> Outcome<Bytes> {
        let request = Request::get(url).body(Full::default());
        self.send(request.or_fail("no URL")?).await
    }

    pub(super) async fn ask(&self, url: &str, request: Vec<u8>) -> Outcome<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/ocsp-request")
            .body(Full::from(request));
        self.send(request.or_fail("no URL")?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome<Bytes> {
        let url = request.uri().to_string();
        let what = || format!("{url} does not answer");
        let answer = self.0.request(request).await.or_fail(what())?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::failed(format!(
                "{url} answers with {}",
                answer.status()
            )));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok(body.or_fail(what())?.to_bytes())
    }
}
