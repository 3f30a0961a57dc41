//! `token create|list|revoke`.

use crate::cli::TokenCommand;
use crate::data::private_folder;
use opendepot_identity::TokenFile;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 24 * 3600;

/// Carries out one command on the token file.
pub(crate) fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create {
            name,
            groups,
            expires_in_days,
            file,
        } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            let expires_at = expires_in_days.map(|days| now + u64::from(days) * SECONDS_PER_DAY);
            let path = file.path();
            if let Some(folder) = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                private_folder(folder)?;
            }
            let token = TokenFile::create(&path, &name, &groups, expires_at)?;
            eprintln!(
                "the token of `{name}`; it is not shown again, and only its digest is kept in `{}`:",
                path.display()
            );
            crate::say(&format!("{token}\n"))
        }
        TokenCommand::List { file } => {
            let mut text = String::from("NAME\tGROUPS\tEXPIRES\n");
            for token in TokenFile::list(&file.path())? {
                let expires = token
                    .expires_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_string());
                writeln!(
                    text,
                    "{}\t{}\t{expires}",
                    token.name,
                    token.groups.join(",")
                )?;
            }
            crate::say(&text)
        }
        TokenCommand::Revoke { name, file } => {
            TokenFile::revoke(&file.path(), &name)?;
            eprintln!("revoked `{name}`");
            Ok(ExitCode::SUCCESS)
        }
    }
}
