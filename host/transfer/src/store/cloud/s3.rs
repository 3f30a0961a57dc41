//! S3 and servers that speak it.

use super::access::{CloudCredential, CloudCredentialKind};
use super::client::{Common, Options, secret, unusable};
use super::seen::{Failure, watched};
use super::session;
use super::wire::Wire;
use crate::error::Error;
use crate::fetch::{HostClass, Outgoing, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential,
    AwsCredentialProvider, S3ConditionalPut,
};
use object_store::client::HttpRequest;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{PutMode, StaticCredentialProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::sync::Arc;
use url::Url;

/// What the operator, or a plan within the grants, may set.
pub(super) const OPTIONS: &[&str] = &[
    "ca-file",
    "region",
    "request-payer",
    "role-arn",
    "server-side-encryption",
    "sse-bucket-key-enabled",
    "sse-customer-key-file",
    "sse-kms-key-id",
    "storage-class",
    "sts-endpoint",
    "token-file",
    "virtual-hosted-style",
];

/// What signatures have escaped in a path: all but these.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// One bucket.
pub(super) struct S3 {
    pub(super) store: AmazonS3,
    /// Where the credential comes from, when it ends.
    pub(super) session: Option<Arc<session::Session>>,
    pub(super) is_signed: bool,
    pub(super) has_customer_key: bool,
    is_request_payer: bool,
    pub(super) region: String,
    /// The bucket's own URL.
    pub(super) url: Url,
    pub(super) wire: Wire,
}

/// What signs the requests of one bucket.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    Static(AwsCredentialProvider),
    Session(Arc<session::Session>),
}

impl Credentials {
    /// # Errors
    /// [`Error::Invalid`] for a credential that cannot be used.
    pub(super) fn new(region: &str, common: &Common<'_>) -> Result<Self, Error> {
        use CloudCredentialKind::{AwsMetadata, AwsStatic, AwsWebIdentity};
        Ok(
            match common.credential(&[AwsStatic, AwsWebIdentity, AwsMetadata])? {
                None => Self::None,
                Some(credential) if credential.kind == AwsStatic => {
                    let key = static_key(credential)?;
                    Self::Static(Arc::new(StaticCredentialProvider::new(key)))
                }
                Some(credential) => {
                    let session = session::Session::new(credential.kind, region, common)?;
                    Self::Session(Arc::new(session))
                }
            },
        )
    }
}

/// What servers without regions sign with.
const DEFAULT_REGION: &str = "us-east-1";

/// The operator's region, else the plan's, else the bucket's own as S3 tells it.
///
/// # Errors
/// [`Error::Unavailable`] when S3 does not tell.
pub(super) async fn region(bucket: &str, common: &Common<'_>) -> Result<String, Error> {
    let named = common.access.region.as_deref();
    if let Some(region) = named.or_else(|| common.options.get("region")) {
        return Ok(region.to_owned());
    }
    if common.endpoint.is_some() {
        return Ok(DEFAULT_REGION.to_owned());
    }
    let attempt = format!("find out the region of bucket `{bucket}`");
    let url = format!("https://s3.amazonaws.com/{bucket}");
    let url = Url::parse(&url).map_err(|_| Error::invalid(&attempt, "its name cannot be a URL"))?;
    let asked = Outgoing {
        method: Method::HEAD,
        url,
        headers: HeaderMap::new(),
        body: None,
        host_class: HostClass::Storage,
    };
    // Any status carries the header, also to those who may not see the bucket.
    let answer = common.wire.fetcher.send_once(asked, &attempt).await?;
    let region = answer.headers().get("x-amz-bucket-region");
    region
        .and_then(|region| region.to_str().ok())
        .filter(|region| {
            region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
        .map(str::to_owned)
        .ok_or_else(|| {
            Error::unavailable(
                attempt,
                "S3 does not tell; set `region` in the resource, the settings or the store's grant",
            )
        })
}

/// # Errors
/// [`Error::Invalid`] for settings that cannot be used.
pub(super) fn open(
    bucket: &str,
    store: &str,
    region: &str,
    credentials: &Credentials,
    common: &Common<'_>,
) -> Result<S3, Error> {
    let options = &common.options;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_http_connector(common.wire.clone())
        .with_retry(common.retry.clone())
        .with_client_options(Common::client_options())
        .with_disable_bulk_delete(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    // The cloud has one certificate for all buckets without a dot; other servers rarely have one.
    let is_virtual = match options.flag("virtual-hosted-style")? {
        Some(is_virtual) => is_virtual,
        None => common.endpoint.is_none() && !bucket.contains('.'),
    };
    builder = builder.with_virtual_hosted_style_request(is_virtual);
    let text = match &common.endpoint {
        Some(endpoint) => endpoint.as_str().to_owned(),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    let mut url = Url::parse(&text).map_err(|_| unusable(store))?;
    if is_virtual {
        let host = url.host_str().map(|host| format!("{bucket}.{host}"));
        url.set_host(host.as_deref()).map_err(|_| unusable(store))?;
    }
    builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
    if !is_virtual {
        url.path_segments_mut()
            .map_err(|()| unusable(store))?
            .pop_if_empty()
            .push(bucket);
    }
    for (name, key) in [
        ("server-side-encryption", "aws_server_side_encryption"),
        ("sse-kms-key-id", "aws_sse_kms_key_id"),
        ("sse-bucket-key-enabled", "aws_sse_bucket_key_enabled"),
    ] {
        if let Some(value) = options.get(name) {
            let key: AmazonS3ConfigKey = key.parse().map_err(|_| unusable(store))?;
            builder = builder.with_config(key, value);
        }
    }
    if let Some(key) = common.customer_key {
        builder = builder.with_ssec_encryption(customer_key(key, options)?);
    }
    let is_request_payer = options.flag("request-payer")? == Some(true);
    builder = builder.with_request_payer(is_request_payer);
    builder = match credentials {
        Credentials::None => builder.with_skip_signature(true),
        Credentials::Static(provider) => builder.with_credentials(Arc::clone(provider)),
        Credentials::Session(session) => builder.with_credentials(Arc::clone(session) as _),
    };
    Ok(S3 {
        store: builder.build().map_err(|_| unusable(store))?,
        session: match credentials {
            Credentials::Session(session) => Some(Arc::clone(session)),
            Credentials::None | Credentials::Static(_) => None,
        },
        has_customer_key: common.customer_key.is_some(),
        is_signed: !matches!(credentials, Credentials::None),
        is_request_payer,
        region: region.to_owned(),
        url,
        wire: common.wire.clone(),
    })
}

impl S3 {
    /// Makes one object of the parts of an upload (CompleteMultipartUpload). The client of the
    /// bucket does so without a condition, and gives copies none of the attributes.
    pub(super) async fn complete(
        &self,
        key: &Path,
        id: &str,
        parts: &[PartId],
        mode: &PutMode,
    ) -> Result<(), Failure> {
        let mut list = "<CompleteMultipartUpload>".to_owned();
        for (number, part) in (1..).zip(parts) {
            let tag = quick_xml::escape::escape(&part.content_id);
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            ));
        }
        list.push_str("</CompleteMultipartUpload>");
        watched(async {
            let bucket = self.url.as_str().trim_end_matches('/');
            let key = utf8_percent_encode(key.as_ref(), &ESCAPED);
            let id = utf8_percent_encode(id, &ESCAPED);
            let mut request = HttpRequest::new(list.into());
            *request.method_mut() = Method::POST;
            *request.uri_mut() = format!("{bucket}/{key}?uploadId={id}")
                .parse()
                .map_err(generic)?;
            if matches!(mode, PutMode::Create) {
                let any = HeaderValue::from_static("*");
                request.headers_mut().insert(IF_NONE_MATCH, any);
            }
            self.authorize(&mut request).await?;
            let answer = self.wire.insist(request).await.map_err(generic)?;
            let status = answer.status();
            let body = answer.into_body().bytes().await.map_err(generic)?;
            // It may fail long after it began to answer well.
            let is_error = body.windows(6).any(|text| text == b"<Error");
            match status.as_u16() {
                200..=299 if !is_error => Ok(()),
                412 => Err(object_store::Error::Precondition {
                    path: String::new(),
                    source: Box::new(NotCompleted),
                }),
                _ => Err(generic(NotCompleted)),
            }
        })
        .await
    }

    /// Signs a request that is made here.
    async fn authorize(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        if !self.is_signed {
            return Ok(());
        }
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_request_payer(self.is_request_payer)
            .try_authorize(request, None)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the parts were not put together")]
struct NotCompleted;

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(source),
    }
}

/// A key of 256 bits, as base64.
fn customer_key<'a>(key: &'a Secret, options: &Options) -> Result<&'a str, Error> {
    let refuse = |reason| Error::invalid("use the option `sse-customer-key-file`", reason);
    if options.get("server-side-encryption").is_some() {
        return Err(refuse("`server-side-encryption` names another key"));
    }
    let key = key.reveal().trim();
    let bytes = STANDARD.decode(key).map(zeroize::Zeroizing::new);
    match bytes {
        Ok(bytes) if bytes.len() == 32 => Ok(key),
        _ => Err(refuse("the file is not one line of base64 of 32 bytes")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StaticKey {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// A key pair: a JSON object, or the lines that `aws configure` writes.
fn static_key(credential: &CloudCredential) -> Result<AwsCredential, Error> {
    let text = secret(credential)?;
    let refuse = || {
        Error::invalid(
            "use a credential of kind `aws-static`",
            "its file is neither a JSON object with `accessKeyId`, `secretAccessKey` and perhaps \
             `sessionToken`, nor lines such as `aws_access_key_id = …`",
        )
    };
    let key = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|_| refuse())?
    } else {
        let line = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        StaticKey {
            access_key_id: line("aws_access_key_id").ok_or_else(refuse)?,
            secret_access_key: line("aws_secret_access_key").ok_or_else(refuse)?,
            session_token: line("aws_session_token"),
        }
    };
    // The token becomes a header.
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let token_is_plain = key.session_token.as_deref().is_none_or(is_plain);
    if !is_plain(&key.access_key_id) || !is_plain(&key.secret_access_key) || !token_is_plain {
        return Err(refuse());
    }
    Ok(AwsCredential {
        key_id: key.access_key_id,
        secret_key: key.secret_access_key,
        token: key.session_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<AwsCredential, Error> {
        static_key(&CloudCredential {
            kind: CloudCredentialKind::AwsStatic,
            secret: Some(Secret::new(text)),
        })
    }

    #[test]
    fn keys_are_read_in_both_forms() {
        for text in [
            r#"{"accessKeyId": "id", "secretAccessKey": "a/b="}"#,
            "[default]\naws_access_key_id = id\naws_secret_access_key=a/b=\n",
        ] {
            let key = key(text).unwrap();
            assert_eq!(
                (key.key_id.as_str(), key.secret_key.as_str()),
                ("id", "a/b=")
            );
            assert_eq!(key.token, None);
        }
        let json = r#"{"accessKeyId": "id", "secretAccessKey": "s", "sessionToken": "t"}"#;
        assert_eq!(key(json).unwrap().token.as_deref(), Some("t"));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_being_shown() {
        for text in [
            "",
            "hunter2",
            "{",
            r#"{"accessKeyId": "hunter2"}"#,
            r#"{"accessKeyId": "hunter2", "secretAccessKey": ""}"#,
            "aws_access_key_id = hunter2",
            "aws_access_key_id = a b\naws_secret_access_key = hunter2",
        ] {
            let error = key(text).unwrap_err().to_string();
            assert!(
                error.contains("aws-static") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
