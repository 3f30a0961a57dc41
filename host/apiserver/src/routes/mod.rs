//! From HTTP requests to verbs, and back.

mod definitions;
mod delete;
mod discovery;
mod path;
mod query;
mod read;
mod watch;
mod write;

use crate::resource::Resource;
use crate::status_error::ApiError;
use crate::store::Store;
use crate::writer::{MAX_OBJECT_BYTES, Written};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use path::Target;
use query::Query;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;

/// The body of an answer.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request whose body has been read.
struct Call {
    method: Method,
    headers: HeaderMap,
    query: Query,
    body: Bytes,
}

impl Call {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether the caller wants metadata only.
    fn wants_metadata_only(&self) -> bool {
        self.header(header::ACCEPT)
            .split(',')
            .next()
            .is_some_and(|first| first.contains("as=PartialObjectMetadata"))
    }
}

/// Answers one request; failures become `Status` answers.
pub(crate) async fn handle<B>(store: Arc<Store>, request: Request<B>) -> Response<ResponseBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match dispatch(&store, request).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = json_response(error.code, &error.to_status());
            if matches!(
                error.code,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
            ) {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            }
            response
        }
    }
}

async fn dispatch<B>(
    store: &Arc<Store>,
    request: Request<B>,
) -> Result<Response<ResponseBody>, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let target = path::parse(&store.shared.registry, parts.uri.path())?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let call = Call {
        method: parts.method,
        headers: parts.headers,
        query,
        body: read_body(body).await?,
    };
    match target {
        Target::Discovery(page) => {
            if call.method != Method::GET {
                return Err(ApiError::method_not_allowed());
            }
            if page == path::Page::Definitions {
                return definitions::list(store, &call);
            }
            discovery::answer(&store.shared.registry, &page)
                .map(|value| json_response(StatusCode::OK, &value))
        }
        Target::Collection {
            resource,
            namespace,
        } => collection(store, &call, resource, namespace).await,
        Target::Object {
            resource,
            namespace,
            name,
            door,
        } => {
            let at = At {
                resource,
                namespace,
                name,
                door,
            };
            match call.method {
                Method::GET => read::get(store, &call, &at),
                Method::PUT => write::replace(store, &call, at).await,
                Method::PATCH => write::patch(store, &call, at).await,
                Method::DELETE => delete::one(store, &call, at).await,
                _ => Err(ApiError::method_not_allowed()),
            }
        }
    }
}

/// One object and the door to it.
struct At {
    resource: Arc<Resource>,
    /// Empty for cluster-scoped kinds.
    namespace: String,
    name: String,
    door: crate::update::Door,
}

async fn collection(
    store: &Arc<Store>,
    call: &Call,
    resource: Arc<Resource>,
    namespace: Option<String>,
) -> Result<Response<ResponseBody>, ApiError> {
    match call.method {
        Method::GET if call.query.flag("watch")? => watch::answer(store, call, resource, namespace),
        Method::GET => read::list(store, call, resource, namespace).await,
        Method::POST => write::create(store, call, resource, namespace).await,
        Method::DELETE => delete::collection(store, call, resource, namespace).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

async fn read_body<B>(body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, MAX_OBJECT_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(&format!("limit is {MAX_OBJECT_BYTES}")))
        }
        Err(error) => Err(ApiError::bad_request(format!(
            "the body of the request cannot be read: {error}"
        ))),
    }
}

fn bytes_response(code: StatusCode, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

fn json_response(code: StatusCode, value: &Value) -> Response<ResponseBody> {
    bytes_response(code, Bytes::from(value.to_string()))
}

fn written_response(call: &Call, written: Written) -> Result<Response<ResponseBody>, ApiError> {
    let body = if call.wants_metadata_only() {
        read::metadata_only(&written.body)?
    } else {
        written.body
    };
    Ok(bytes_response(written.code, body))
}
