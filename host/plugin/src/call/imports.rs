//! The host functions that guests may import. Each spends one host call before it looks at its
//! arguments; what it refuses is counted.

use super::CallState;
use super::state::Stop;
use crate::denial::Denial;
use crate::egress::{self, HttpError, HttpResponse, Refusal, Wanted};
use crate::secret::{self, SecretError, SecretKey};
use crate::text;
use crate::v0_1::host::{http, log, secrets, types};
use opendepot_domain::placement::HeaderValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Resource, ResourceTableError};

impl types::Host for CallState {}

impl log::Host for CallState {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.spend_host_call()?;
        if self.log_bytes_left == 0 {
            return Ok(());
        }
        let mut line = text::shown(&message);
        for (name, value) in &fields {
            line.push(' ');
            line.push_str(&text::cut(name, 64));
            line.push('=');
            line.push_str(&text::shown(value));
            if line.len() > self.log_bytes_left {
                break;
            }
        }
        let cost = line.len();
        if cost > self.log_bytes_left {
            let mut end = self.log_bytes_left;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push_str("… (log budget of this call is used up)");
        }
        self.log_bytes_left = self.log_bytes_left.saturating_sub(cost);
        let (name, digest) = (&*self.plugin.name, self.plugin.digest.as_str());
        let meter = &self.meter;
        macro_rules! emit {
            ($level:ident) => {{
                meter.note_line(stringify!($level), &line);
                tracing::$level!(
                    plugin.name = name,
                    plugin.digest = digest,
                    "plugin says: {line}"
                )
            }};
        }
        match level {
            log::Level::Debug => emit!(debug),
            log::Level::Info => emit!(info),
            log::Level::Warn => emit!(warn),
            log::Level::Error => emit!(error),
        }
        Ok(())
    }
}

impl CallState {
    fn push_secret(&mut self, key: SecretKey) -> wasmtime::Result<Resource<SecretKey>> {
        self.resources.push(key).map_err(|error| match error {
            ResourceTableError::Full => Stop::Resources.into(),
            _ => Stop::Handle.into(),
        })
    }

    fn secret(&self, handle: &Resource<SecretKey>) -> wasmtime::Result<&SecretKey> {
        self.resources.get(handle).map_err(|_| Stop::Handle.into())
    }
}

impl secrets::Host for CallState {
    async fn open(
        &mut self,
        name: String,
        encoding: secrets::Encoding,
    ) -> wasmtime::Result<Result<Resource<SecretKey>, secrets::Error>> {
        self.spend_host_call()?;
        if !self.plugin.grants.secrets.contains_key(&name) {
            let shown = text::cut(&name, 80);
            let reason = format_args!("secret `{shown}` is not granted");
            self.plugin.deny(Denial::SecretsOpen, &reason);
            return Ok(Err(secrets::Error::Denied(
                "the secret is not declared and granted".to_owned(),
            )));
        }
        let host = Arc::clone(&self.host);
        let io = host.io.clone();
        let read = io.spawn_blocking(move || {
            let content = secret::read(host.secrets_dir.as_deref(), &name)?;
            SecretKey::decode(&content, encoding)
        });
        Ok(match read.await {
            Ok(Ok(key)) => Ok(self.push_secret(key)?),
            Ok(Err(SecretError::Denied)) => Err(secrets::Error::Denied("not granted".to_owned())),
            Ok(Err(error @ SecretError::Missing)) => {
                Err(secrets::Error::Missing(error.to_string()))
            }
            Ok(Err(error @ SecretError::Malformed)) => {
                Err(secrets::Error::Other(error.to_string()))
            }
            Err(_) => Err(secrets::Error::Other(
                "the host is shutting down".to_owned(),
            )),
        })
    }
}

impl secrets::HostSecret for CallState {
    fn mac_sha256(
        &mut self,
        handle: Resource<SecretKey>,
        message: Vec<u8>,
    ) -> wasmtime::Result<Vec<u8>> {
        self.spend_host_call()?;
        Ok(self.secret(&handle)?.mac(&message))
    }

    fn derive_sha256(
        &mut self,
        handle: Resource<SecretKey>,
        prefix: Vec<u8>,
        message: Vec<u8>,
    ) -> wasmtime::Result<Resource<SecretKey>> {
        self.spend_host_call()?;
        let derived = self.secret(&handle)?.derive(&prefix, &message);
        self.push_secret(derived)
    }

    fn drop(&mut self, handle: Resource<SecretKey>) -> wasmtime::Result<()> {
        self.spend_host_call()?;
        self.resources.delete(handle).map_err(|_| Stop::Handle)?;
        Ok(())
    }
}

impl http::Host for CallState {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::Error>> {
        self.spend_host_call()?;
        if self.host.http.is_none() {
            return Ok(Err(http::Error::Denied("http is not available".to_owned())));
        }
        let timeout = self.deadline.saturating_duration_since(Instant::now());
        let wanted = Wanted {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(header).collect(),
            body: request.body,
        };
        match self.send_checked(wanted, timeout).await {
            Ok(response) => Ok(Ok(http::Response {
                status: response.status,
                headers: response.headers,
                body: response.body,
            })),
            Err(error) => Ok(Err(match error {
                HttpError::Denied(reason) => {
                    self.plugin.deny(Denial::HttpSend, &text::shown(&reason));
                    http::Error::Denied(reason)
                }
                HttpError::Timeout => http::Error::Timeout,
                HttpError::TooLarge => http::Error::TooLarge,
                HttpError::Unreachable(reason) => http::Error::Unreachable(reason),
                HttpError::Other(reason) => http::Error::Other(reason),
            })),
        }
    }
}

impl CallState {
    /// Does the I/O on the serving runtime; the task ends with the call.
    async fn send_checked(
        &mut self,
        wanted: Wanted,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let (host, plugin) = (Arc::clone(&self.host), Arc::clone(&self.plugin));
        let task = self.host.io.spawn(async move {
            let (own, id) = (Arc::clone(&host), Arc::clone(&plugin));
            let checked = tokio::task::spawn_blocking(move || {
                let dir = own.secrets_dir.as_deref();
                egress::check(&id.id, &id.grants, dir, wanted, timeout)
            });
            let shutting_down = || HttpError::Other("the host is shutting down".to_owned());
            let request = checked
                .await
                .map_err(|_| shutting_down())?
                .map_err(|refusal| match refusal {
                    Refusal::Plan(_) | Refusal::Secret(SecretError::Denied) => {
                        HttpError::Denied(refusal.to_string())
                    }
                    Refusal::Secret(_) => HttpError::Other(refusal.to_string()),
                })?;
            let sender = host.http.as_ref().ok_or_else(shutting_down)?;
            let limit = request.max_response_bytes;
            let response = tokio::time::timeout(timeout, sender.send(request))
                .await
                .map_err(|_| HttpError::Timeout)??;
            if response.body.len() > limit {
                return Err(HttpError::TooLarge);
            }
            Ok(response)
        });
        tokio_util::task::AbortOnDropHandle::new(task)
            .await
            .map_err(|_| HttpError::Other("the host is shutting down".to_owned()))?
    }
}

/// A guest's header in the domain's words.
pub(crate) fn header(header: http::Header) -> (String, HeaderValue) {
    let value = match header.value {
        http::HeaderValue::Plain(text) => HeaderValue::Plain(text),
        http::HeaderValue::Secret(http::Prefixed { prefix, secret }) => {
            HeaderValue::Secret { prefix, secret }
        }
        http::HeaderValue::Basic(http::Basic { user, secret }) => {
            HeaderValue::Basic { user, secret }
        }
    };
    (header.name, value)
}
