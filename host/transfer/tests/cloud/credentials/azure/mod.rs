//! Azure: workload identity, and links that a key of the service signs.

mod blob;
mod entra;
mod link;
mod workload;

use super::{TokenFile, fixture};
use crate::Fixture;
use blob::Blobs;
use entra::Entra;
use opendepot_transfer::{CloudCredential, CloudCredentialKind, StoreAccess};

const STORE: &str = "az://depotacct/depot";
const ASSERTION: &str = "pod-token.one.two";

struct Site {
    entra: Entra,
    blobs: Blobs,
    file: TokenFile,
    fixture: Fixture,
}

fn credential() -> CloudCredential {
    CloudCredential {
        kind: CloudCredentialKind::AzureWorkload,
        secret: None,
    }
}

/// Tokens live for so many seconds.
async fn started(seconds: i64) -> Site {
    let entra = Entra::start(([127, 0, 0, 1], 0).into(), seconds, ASSERTION).await;
    let blobs = Blobs::start(&entra.tokens).await;
    let file = TokenFile::new(ASSERTION);
    let options = [
        // As the webhook writes it: with a slash at its end.
        ("authority-host", format!("{}/", entra.service.url)),
        ("client-id", entra::CLIENT.to_owned()),
        ("tenant-id", entra::TENANT.to_owned()),
        ("token-file", file.text()),
    ];
    let fixture = fixture(StoreAccess {
        endpoint: Some(blobs.endpoint()),
        options: options.map(|(name, value)| (name.to_owned(), value)).into(),
        credential: Some(credential()),
        ..StoreAccess::default()
    });
    Site {
        entra,
        blobs,
        file,
        fixture,
    }
}

/// Nothing that opens anything is in this text.
fn unshown(text: &str) {
    for part in ["issued-token", "pod-token", "hunter2", "sig=", "Bearer ey"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
}
