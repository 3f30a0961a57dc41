//! Query parameters: known ones only, each once, so that a name that smuggles a `?` is noticed.

use crate::schema::FieldError;
use crate::status_error::ApiError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Parameters that any request may carry and that change nothing here.
const HARMLESS: [&str; 2] = ["pretty", "timeout"];

/// Decoded parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut map = BTreeMap::new();
        // Some clients begin the query with `&`.
        for (key, value) in url::form_urlencoded::parse(text.trim_matches('&').as_bytes()) {
            if key.is_empty() && value.is_empty() {
                continue;
            }
            if map.insert(key.to_string(), value.into_owned()).is_some() {
                return Err(ApiError::bad_request(format!(
                    "the query parameter `{}` is given twice",
                    key.escape_debug()
                )));
            }
        }
        Ok(Self(map))
    }

    /// Refuses parameters that the verb does not know.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        for key in self.0.keys() {
            if !known.contains(&key.as_str()) && !HARMLESS.contains(&key.as_str()) {
                let shown: String = key.escape_debug().take(80).collect();
                return Err(ApiError::bad_request(format!(
                    "the query parameter `{shown}` is not supported for this request"
                )));
            }
        }
        Ok(())
    }

    /// A parameter that is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A boolean as the API server reads it.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.get(key) {
            None | Some("false" | "0" | "False" | "f" | "F" | "FALSE") => Ok(false),
            Some("true" | "1" | "True" | "t" | "T" | "TRUE") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!(
                "`{}` is not a value of the query parameter `{key}`",
                other.escape_debug()
            ))),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.get(key)
            .map(|value| {
                value.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "`{}` is not a number, as the query parameter `{key}` needs",
                        value.escape_debug()
                    ))
                })
            })
            .transpose()
    }

    /// The size of a page; 0 is no limit, as is less in a cluster.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        match self.get("limit") {
            Some(value) if value.parse::<i64>().is_ok_and(|limit| limit < 0) => Ok(0),
            _ => {
                let limit = self.number("limit")?.unwrap_or(0);
                Ok(usize::try_from(limit).unwrap_or(usize::MAX))
            }
        }
    }

    /// `dryRun=All`, the only value that there is; `options` is the verb's kind of options.
    pub(super) fn is_dry_run(&self, options: &str) -> Result<bool, ApiError> {
        self.choice(options, "dryRun", &["All"])
            .map(|found| found.is_some())
    }

    /// A parameter with few values.
    pub(super) fn choice(
        &self,
        options: &str,
        key: &str,
        known: &[&str],
    ) -> Result<Option<&str>, ApiError> {
        match self.get(key) {
            Some(value) if !known.contains(&value) => {
                let known: Vec<Value> = known.iter().copied().map(Value::from).collect();
                let error = FieldError::not_supported(key.to_owned(), &Value::from(value), &known);
                Err(ApiError::invalid_options(options, error.into_cause()))
            }
            value => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn parameters() {
        let query = Query::parse("&limit=5&labelSelector=a%3Db+c").unwrap();
        assert_eq!(query.get("labelSelector"), Some("a=b c"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(query.only(&["limit", "labelSelector"]).is_ok());
        assert!(query.only(&["limit"]).is_err());
        assert!(Query::parse("a=1&a=2").is_err());
        assert!(
            Query::parse("watch=true%3F")
                .unwrap()
                .flag("watch")
                .is_err()
        );
        assert!(Query::parse("").unwrap().only(&[]).is_ok());
    }
}
