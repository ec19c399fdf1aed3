//! A proxy that does nothing but forward: hyper's server and reqwest, with the body as it arrives. It is the floor of what a gateway
//! on these libraries costs.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};

use crate::Failure;
use crate::upstream::{self, Served};

/// Starts this program once more, as the proxy.
pub fn start(upstream: SocketAddr) -> Result<Served, Failure> {
    Served::start(&["--plain", &upstream.to_string()])
}

/// Runs the proxy until its standard input ends.
pub async fn serve(upstream: SocketAddr) -> Result<(), Failure> {
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    upstream::serve_each(move |request| forward(client.clone(), upstream, request)).await
}

async fn forward(
    client: reqwest::Client,
    upstream: SocketAddr,
    request: Request<Incoming>,
) -> Result<
    Response<StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, reqwest::Error>>>>,
    Failure,
> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let url = format!("http://{upstream}{}", parts.uri);
    let mut headers = parts.headers;
    headers.remove("host");
    let response = client.post(url).headers(headers).body(body).send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let frames = response.bytes_stream().map_ok(Frame::data);
    let mut answer = Response::new(StreamBody::new(frames));
    *answer.status_mut() = status;
    if let Some(content_type) = headers.get("content-type") {
        answer
            .headers_mut()
            .insert("content-type", content_type.clone());
    }
    Ok(answer)
}
