//! Uploads in parts that nobody finishes: listed and aborted, since their parts are paid for until
//! then. `object_store` has no list of them.

use super::client::Backend;
use super::gcs::Gcs;
use super::s3::S3;
use super::seen::{Failure, watched};
use super::upload::STAGING;
use super::wire::Wire;
use http::Method;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody, HttpService as _};
use object_store::path::Path;
use serde::Deserialize;
use std::time::{Duration, SystemTime};
use url::Url;

/// ListMultipartUploads: one page is enough, the rest comes the next time.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    #[serde(default)]
    initiated: String,
}

impl Backend {
    /// Aborts the uploads of the object of this key, to staging keys too, that were begun some time
    /// ago. Azure drops parts that nobody put together by itself, after a week.
    pub(super) async fn abort_unfinished(
        &self,
        of: &str,
        older_than: Duration,
    ) -> Result<(), Failure> {
        let listed = match self {
            Self::S3(s3) => watched(of_s3(s3, of)).await?,
            Self::Gcs(gcs) => watched(of_gcs(gcs, of)).await?,
            Self::Azure(_) => return Ok(()),
        };
        let now = SystemTime::now();
        for upload in listed.uploads {
            let begun = upload.initiated.parse::<jiff::Timestamp>().ok();
            let age = begun.and_then(|begun| now.duration_since(begun.into()).ok());
            let is_old = older_than.is_zero() || age.is_some_and(|age| age >= older_than);
            let rest = upload.key.strip_prefix(of);
            let is_its = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(STAGING));
            let key = Path::parse(&upload.key).ok();
            let Some(key) = key.filter(|_| is_old && is_its) else {
                continue;
            };
            let aborted = watched(self.parts().abort_multipart(&key, &upload.upload_id)).await;
            match aborted {
                // Somebody else was quicker.
                Err(failure) if failure.is_missing() => continue,
                aborted => aborted?,
            }
            tracing::info!("aborted an upload to `{key}`, which nobody finishes");
        }
        Ok(())
    }
}

async fn of_s3(s3: &S3, prefix: &str) -> object_store::Result<Listed> {
    let mut request = request(&s3.url, prefix)?;
    if s3.is_signed {
        let credential = s3.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &s3.region).try_authorize(&mut request, None)?;
    }
    list(&s3.wire, request).await
}

async fn of_gcs(gcs: &Gcs, prefix: &str) -> object_store::Result<Listed> {
    let mut request = request(&gcs.url, prefix)?;
    gcs.authorize(&mut request).await?;
    list(&gcs.wire, request).await
}

fn request(bucket: &Url, prefix: &str) -> object_store::Result<HttpRequest> {
    let mut url = bucket.clone();
    url.query_pairs_mut()
        .append_pair("prefix", prefix)
        .append_pair("uploads", "");
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = url.as_str().parse().map_err(generic)?;
    Ok(request)
}

async fn list(wire: &Wire, request: HttpRequest) -> object_store::Result<Listed> {
    let answer = wire.call(request).await.map_err(generic)?;
    let status = answer.status();
    let body = answer.into_body().bytes().await.map_err(generic)?;
    if !status.is_success() {
        return Err(generic(NotListed));
    }
    quick_xml::de::from_reader(&*body).map_err(generic)
}

#[derive(Debug, thiserror::Error)]
#[error("the uploads were not listed")]
struct NotListed;

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "uploads",
        source: Box::new(source),
    }
}
