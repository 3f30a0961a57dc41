//! The operator's settings and the resource's `path`.

use crate::access::{Access, Format, KeyEncoding, PLACEHOLDERS, Sign, placeholders};
use crate::address;
use crate::statuses::Statuses;
use opendepot_plugin_sdk::key;
use opendepot_plugin_sdk::settings::{Object, hint, shown};
use opendepot_plugin_sdk::storage::{Configuration, Error};

const MAX_TEXT: usize = 256;
const DEFAULT_LIFETIME: u64 = 300;
const DEFAULT_MESSAGE: &str = "{method}\n{path}\n{expires}";

/// What only the host may write.
const HOST_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-none-match",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// What the operator set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The store of new artifacts, as placements name it.
    pub(crate) url: String,
    pub(crate) access: Access,
    /// Whether a put carries `If-None-Match: *`.
    pub(crate) is_conditional: bool,
    pub(crate) creates_collections: bool,
    pub(crate) statuses: Statuses,
}

/// The settings, and the resource's `path` as segments. Problems of both documents are reported
/// together.
pub(crate) fn read(configuration: &Configuration) -> Result<(Settings, Vec<String>), Error> {
    configuration.read(|operator, backend| {
        let settings = operator.and_then(settings);
        let path = backend.and_then(path);
        Some((settings?, path.unwrap_or_default()))
    })
}

/// The resource's `path`; empty parts are a mistake here, not dropped.
fn path(object: &Object<'_>) -> Option<Vec<String>> {
    object.deny_unknown(&["path"]);
    let text = object.text("path")?;
    if let Err(reason) = key::check(text) {
        object.problem(
            "path",
            format!("`{}` must be names joined by `/`: {reason}", shown(text)),
        );
        return None;
    }
    Some(text.split('/').map(str::to_owned).collect())
}

fn settings(object: &Object<'_>) -> Option<Settings> {
    object.deny_unknown(&[
        "url",
        "auth",
        "sign",
        "ifNoneMatch",
        "createCollections",
        "statuses",
    ]);
    let url = object.required_text("url").and_then(|text| {
        let store = address::store(text);
        if let Err(reason) = &store {
            // Not shown: it may hold a password.
            object.problem("url", reason.as_str());
        }
        store.ok()
    });
    let sign = object.object("sign").map(|sign| signing(&sign));
    let auth = authentication(object);
    if sign.is_some() && !matches!(auth, None | Some(Access::Open)) {
        object.problem(
            "sign",
            "excludes `auth`: a link for a client carries no headers",
        );
    }
    let is_conditional = object.flag("ifNoneMatch").unwrap_or(true);
    let creates_collections = object.flag("createCollections").unwrap_or(false);
    let statuses = object
        .object("statuses")
        .map(|statuses| Statuses::read(&statuses))
        .unwrap_or_default();
    let access = match sign {
        Some(sign) => Access::Sign(sign?),
        None => auth.unwrap_or(Access::Open),
    };
    Some(Settings {
        url: url?,
        access,
        is_conditional,
        creates_collections,
        statuses,
    })
}

/// `none`, or an object with exactly one way.
fn authentication(object: &Object<'_>) -> Option<Access> {
    const WAYS: &[&str] = &["bearer", "basic", "header"];
    if !object.has("auth") {
        return None;
    }
    if object.is_text("auth") {
        return object
            .choice("auth", &[("none", ())])
            .map(|()| Access::Open);
    }
    let auth = object.object("auth")?;
    auth.deny_unknown(WAYS);
    let mut named = WAYS.iter().filter(|way| auth.has(way));
    let (Some(way), None) = (named.next(), named.next()) else {
        object.problem(
            "auth",
            "must be `none`, or have one of `bearer`, `basic`, `header`",
        );
        return None;
    };
    let way_object = auth.object(way)?;
    match *way {
        "bearer" => {
            way_object.deny_unknown(&["secret"]);
            Some(Access::Bearer {
                secret: secret(&way_object)?,
            })
        }
        "basic" => {
            way_object.deny_unknown(&["user", "secret"]);
            let user = printable(&way_object, "user").filter(|user| {
                let is_user = !user.contains(':');
                if !is_user {
                    way_object.problem("user", "must not hold a colon");
                }
                is_user
            });
            let secret = secret(&way_object);
            Some(Access::Basic {
                user: user?,
                secret: secret?,
            })
        }
        _ => header(&way_object),
    }
}

fn header(object: &Object<'_>) -> Option<Access> {
    object.deny_unknown(&["name", "prefix", "secret"]);
    let name = object.line("name", 128).filter(|name| {
        let is_token = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        let lower = name.to_ascii_lowercase();
        let is_ours = HOST_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-");
        if !is_token {
            object.problem("name", "must be a header name");
        } else if is_ours {
            object.problem("name", "only the host may write this header");
        }
        is_token && !is_ours
    });
    let prefix = if object.text("prefix") == Some("") || !object.has("prefix") {
        Some(String::new())
    } else {
        printable(object, "prefix")
    };
    let secret = secret(object);
    Some(Access::Header {
        name: name?.to_owned(),
        prefix: prefix?,
        secret: secret?,
    })
}

fn signing(object: &Object<'_>) -> Option<Sign> {
    object.deny_unknown(&[
        "secret",
        "encoding",
        "lifetime",
        "message",
        "expires",
        "signature",
        "format",
    ]);
    let encodings = [
        ("raw", KeyEncoding::Raw),
        ("base64", KeyEncoding::Base64),
        ("hex", KeyEncoding::Hex),
    ];
    let formats = [("hex", Format::Hex), ("base64url", Format::Base64Url)];
    let secret = secret(object);
    let encoding = object.choice("encoding", &encodings);
    let lifetime = object.number("lifetime", 10..=86_400);
    let format = object.choice("format", &formats);
    let message = message(object);
    let expires = parameter(object, "expires");
    let signature = parameter(object, "signature");
    if expires.is_some() && expires == signature {
        object.problem("signature", "must differ from `expires`");
    }
    Some(Sign {
        secret: secret?,
        encoding: encoding.unwrap_or(KeyEncoding::Raw),
        lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME),
        message: message?,
        expires: expires?,
        signature: signature?,
        format: format.unwrap_or(Format::Hex),
    })
}

/// What is signed. Without path and expiry a signature would hold for anything and for ever.
fn message(object: &Object<'_>) -> Option<String> {
    if !object.has("message") {
        return Some(DEFAULT_MESSAGE.to_owned());
    }
    let text = object.text("message")?;
    let named = placeholders(text);
    let unknown = named.iter().find(|name| !PLACEHOLDERS.contains(name));
    let problem = if text.len() > MAX_TEXT {
        format!("longer than {MAX_TEXT} bytes")
    } else if let Some(unknown) = unknown {
        let hint = hint(unknown, PLACEHOLDERS);
        format!("unknown placeholder `{}`{hint}", shown(unknown))
    } else if text.matches('{').count() != named.len() || text.matches('}').count() != named.len() {
        "has a brace that is no placeholder".to_owned()
    } else if !named.contains(&"path") || !named.contains(&"expires") {
        "must hold `{path}` and `{expires}`".to_owned()
    } else {
        return Some(text.to_owned());
    };
    object.problem("message", problem);
    None
}

/// The name of a query parameter; by default that of the setting.
fn parameter(object: &Object<'_>, key: &str) -> Option<String> {
    if !object.has(key) {
        return Some(key.to_owned());
    }
    let name = object.line(key, 64)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if !name.bytes().all(is_plain) {
        object.problem(key, "must be letters, digits, `-`, `.`, `_` and `~`");
        return None;
    }
    Some(name.to_owned())
}

/// The name of a secret, by the host's rule.
fn secret(object: &Object<'_>) -> Option<String> {
    let name = object.line("secret", 128)?;
    let is_name = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..");
    if !is_name {
        object.problem(
            "secret",
            "must be the name of a granted secret: letters, digits, `.`, `_` and `-`",
        );
        return None;
    }
    Some(name.to_owned())
}

/// Text for a header: printable ASCII.
fn printable(object: &Object<'_>, key: &str) -> Option<String> {
    let text = object.line(key, MAX_TEXT)?;
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        object.problem(key, "must be printable ASCII");
        return None;
    }
    Some(text.to_owned())
}
