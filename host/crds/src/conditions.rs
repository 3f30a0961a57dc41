//! Conditions: closed types and reasons, and the rules for changing a list of them
//! (reliability.md 11.2).

use crate::limits;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed! {
    /// What a condition says something about.
    ConditionType {
        /// The summary: the object is as its spec asks.
        Ready,
        /// Work is going on; absent when it is not.
        Reconciling,
        /// Only a change of the input can help; absent when it is not so.
        Stalled,
        /// Version: the bytes were fetched.
        Fetched,
        /// Version: digest and signature of the source hold.
        SourceVerified,
        /// Version: the bytes are stored.
        Stored,
        /// Version: a scan was done and judged.
        Scanned,
        /// Version: a signed release lists this platform.
        Signed,
        /// Version: clients can have it.
        Published,
        /// Version: the source has other bytes than those stored; absent when it is not so.
        ContentDrift,
        /// Version: the stored bytes are gone; absent when it is not so.
        ArtifactMissing,
        /// Version: the stored bytes are not those recorded; absent when it is not so.
        ArtifactCorrupt,
        /// Version: blocked after it was published; absent when it is not so.
        Quarantined,
        /// The last good bytes are served though a refresh fails; absent when it is not so.
        Stale,
        /// Module and Provider: every version has its Version, and these are ready.
        VersionsReady,
        /// Module and Provider: the source lists fewer versions; absent when it is not so.
        UpstreamShrunk,
        /// Another object holds what this one claims; absent when it is not so.
        Conflict,
        /// Depot: the source answers.
        SourceReachable,
        /// Depot: the source asks us to wait; absent when it is not so.
        RateLimited,
        /// Depot: the source refuses our credentials; absent when it is not so.
        AuthenticationFailed,
        /// GroupBinding: the expression is in force.
        Accepted,
        /// Version: a provider's protocols are assumed, not read; absent when it is not so.
        ProtocolsAssumed,
        /// A removal has waited too long; absent when it is not so.
        DeletionBlocked,
    }
}

impl ConditionType {
    /// Whether the condition is removed rather than set to false: those that only say something
    /// when they are true.
    #[must_use]
    pub const fn is_abnormal_true(self) -> bool {
        matches!(
            self,
            Self::Reconciling
                | Self::Stalled
                | Self::ContentDrift
                | Self::ArtifactMissing
                | Self::ArtifactCorrupt
                | Self::Quarantined
                | Self::Stale
                | Self::UpstreamShrunk
                | Self::Conflict
                | Self::RateLimited
                | Self::AuthenticationFailed
                | Self::ProtocolsAssumed
                | Self::DeletionBlocked
        )
    }
}

closed! {
    /// Why a condition has its status: closed, so that others can match on it.
    Reason {
        /// All is as asked.
        Succeeded,
        /// Work is going on.
        Progressing,
        /// Nothing has been looked at yet.
        Pending,
        /// Waits for something else first.
        Waiting,
        /// No capacity at this moment.
        Busy,
        /// The spec cannot work as it is.
        InvalidSpec,
        /// The object's name cannot be used.
        InvalidName,
        /// A version text is not SemVer.
        InvalidVersion,
        /// A constraint cannot be read.
        InvalidConstraint,
        /// An expression does not compile.
        InvalidExpression,
        /// Both config references are set.
        BothRefsSet,
        /// No config reference is set.
        MissingRef,
        /// The Module of this Version does not exist.
        NoModule,
        /// The Provider of this Version does not exist.
        NoProvider,
        /// There is nothing to publish.
        NoVersions,
        /// Some versions are not ready.
        VersionsNotReady,
        /// The Version's owner does not list it any more.
        NotDesired,
        /// The source does not have it.
        SourceNotFound,
        /// The source does not have this platform.
        PlatformUnavailable,
        /// The source does not answer.
        SourceUnreachable,
        /// The source answers with something unusable.
        SourceInvalid,
        /// The source may not be used: the egress policy or the allowed paths say so.
        SourceForbidden,
        /// The repository or the signing key is another one than before.
        SourceIdentityChanged,
        /// The source lists fewer versions than before.
        SourceShrunk,
        /// The source asks us to wait.
        RateLimited,
        /// The source refuses our credentials.
        AuthenticationFailed,
        /// The upstream digest does not fit.
        DigestMismatch,
        /// The upstream signature does not fit.
        SignatureInvalid,
        /// The upstream key is not one of those trusted.
        SigningKeyUnknown,
        /// The release carries no signature.
        Unsigned,
        /// The source has other bytes for a published version.
        ContentChanged,
        /// A changed content was approved.
        ContentAccepted,
        /// The version is immutable and the source has other bytes.
        Immutable,
        /// The archive has a name that would climb out.
        UnsafePath,
        /// The archive is malformed or contradicts itself.
        InvalidArchive,
        /// The archive or one of its parts is over a limit.
        TooLarge,
        /// The provider package holds no executable for the resource's name.
        WrongExecutable,
        /// No manifest says which protocols the provider speaks.
        NoManifest,
        /// The backend block or the plugin's settings are refused.
        StorageInvalid,
        /// The backend does not answer.
        StorageUnavailable,
        /// The backend refuses our credentials.
        StorageDenied,
        /// There is no room for a temporary file.
        DiskFull,
        /// The plugin that is named is not loaded.
        PluginUnavailable,
        /// The plugin failed.
        PluginFailed,
        /// The scan has been done and nothing blocks.
        ScanPassed,
        /// The scan verdict blocks the version.
        ScanBlocked,
        /// The scan failed, and the policy asks for one.
        ScanFailed,
        /// Scanning is off.
        ScanDisabled,
        /// Nothing usable is known from scanning, and the policy lets it pass.
        NotScanned,
        /// The signing key cannot be used.
        SigningKeyUnusable,
        /// Not every platform is stored yet.
        ReleaseIncomplete,
        /// Clients can have it.
        Published,
        /// Taken back after it was published.
        Withdrawn,
        /// The stored bytes are gone.
        ArtifactMissing,
        /// The stored bytes are not those recorded.
        ArtifactCorrupt,
        /// The status carries no valid seal.
        Unsealed,
        /// Another object holds the name, key or resource.
        AlreadyClaimed,
        /// The object is being deleted.
        Deleting,
        /// A refresh failed; the last good state stays.
        RefreshFailed,
        /// The API server refused a write.
        WriteRefused,
        /// It is well-formed and has no effect where it is, or with these plugins.
        NotInForce,
        /// Nobody acts on this kind in this version of the program.
        NotBuilt,
        /// Our own fault.
        InternalError,
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It is not known.
    Unknown,
}

impl ConditionStatus {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Sets one condition and answers whether anything changed.
///
/// `lastTransitionTime` moves only when the status changes. The message is cut to 1 KiB at a
/// character boundary. A condition that only says something when true is removed when false.
/// The order of the list is kept, so a repeated write changes nothing.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: impl Into<ConditionStatus>,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: &Time,
) -> bool {
    let status = status.into();
    if status == ConditionStatus::False && type_.is_abnormal_true() {
        return remove(conditions, type_);
    }
    let message = shorten(message);
    let new = |last_transition_time| Condition {
        last_transition_time,
        message: message.to_owned(),
        observed_generation: generation,
        reason: reason.as_str().to_owned(),
        status: status.as_str().to_owned(),
        type_: type_.as_str().to_owned(),
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == type_.as_str())
    {
        Some(condition) => {
            let since = if condition.status == status.as_str() {
                condition.last_transition_time.clone()
            } else {
                now.clone()
            };
            let next = new(since);
            let changed = *condition != next;
            *condition = next;
            changed
        }
        None => {
            conditions.push(new(now.clone()));
            true
        }
    }
}

/// Removes one condition and answers whether it was there.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_.as_str());
    before != conditions.len()
}

/// The condition of a type.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_.as_str())
}

/// Whether the condition of a type is true; an absent one is not.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The longest prefix of at most 1 KiB that ends at a character boundary.
fn shorten(message: &str) -> &str {
    let end = message.floor_char_boundary(limits::CONDITION_MESSAGE_BYTES);
    message.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(seconds: i64) -> Time {
        Time(Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut list = Vec::new();
        assert!(set(
            &mut list,
            ConditionType::Ready,
            false,
            Reason::Progressing,
            "a",
            Some(1),
            &at(1)
        ));
        assert!(set(
            &mut list,
            ConditionType::Ready,
            false,
            Reason::Waiting,
            "b",
            Some(2),
            &at(2)
        ));
        assert_eq!(list[0].last_transition_time, at(1));
        assert_eq!(
            (list[0].reason.as_str(), list[0].observed_generation),
            ("Waiting", Some(2))
        );
        assert!(!set(
            &mut list,
            ConditionType::Ready,
            false,
            Reason::Waiting,
            "b",
            Some(2),
            &at(3)
        ));
        assert!(set(
            &mut list,
            ConditionType::Ready,
            true,
            Reason::Succeeded,
            "",
            Some(2),
            &at(4)
        ));
        assert_eq!(list[0].last_transition_time, at(4));
        assert!(is_true(&list, ConditionType::Ready));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn what_only_speaks_when_true_is_removed() {
        let mut list = Vec::new();
        for type_ in ConditionType::ALL.iter().copied() {
            assert!(set(
                &mut list,
                type_,
                true,
                Reason::Pending,
                "",
                None,
                &at(1)
            ));
        }
        assert!(ConditionType::ALL.len() <= limits::CONDITIONS as usize);
        for type_ in ConditionType::ALL.iter().copied() {
            assert!(set(
                &mut list,
                type_,
                false,
                Reason::Pending,
                "",
                None,
                &at(2)
            ));
            assert_eq!(
                find(&list, type_).is_none(),
                type_.is_abnormal_true(),
                "{type_}"
            );
        }
        assert!(!set(
            &mut list,
            ConditionType::Stalled,
            false,
            Reason::Pending,
            "",
            None,
            &at(3)
        ));
        set(
            &mut list,
            ConditionType::Ready,
            ConditionStatus::Unknown,
            Reason::Pending,
            "",
            None,
            &at(3),
        );
        assert_eq!(find(&list, ConditionType::Ready).unwrap().status, "Unknown");
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let mut list = Vec::new();
        let long = format!("a{}", "ä".repeat(1_000));
        set(
            &mut list,
            ConditionType::Ready,
            false,
            Reason::InvalidSpec,
            &long,
            None,
            &at(1),
        );
        assert_eq!(list[0].message.len(), 1_023);
        assert!(long.starts_with(&list[0].message));
    }

    #[test]
    fn reasons_fit_the_schema() {
        let pattern = regex::Regex::new("^[A-Z][A-Za-z0-9]{0,127}$").unwrap();
        for reason in Reason::ALL {
            assert!(pattern.is_match(reason.as_str()), "{reason}");
        }
    }
}
