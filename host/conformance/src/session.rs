//! The calls of one suite: made through the host, counted, and told in words.

use crate::report::{Check, Outcome, Report};
use opendepot_plugin::{Fault, Invoker, TrapClass};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The guest's `ok` or `err`; or, in words, that there is none.
pub(crate) type Answer = Result<Result<Value, Value>, String>;

/// Why an answer is not what it is to be.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// It came too late, or not before the deadline.
    Late(String),
    /// It is another one, or none for another reason.
    Wrong(String),
}

impl From<Unmet> for String {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Late(reason) | Unmet::Wrong(reason) => reason,
        }
    }
}

/// The part of its memory limit that a plugin should keep to: real input is larger than that of a
/// suite.
const MEMORY_SHARE: f64 = 0.75;

pub(crate) struct Session {
    pub(crate) invoker: Invoker,
    checks: Vec<Check>,
    memory_bytes: usize,
}

impl Session {
    pub(crate) fn new(invoker: Invoker) -> Self {
        Self {
            invoker,
            checks: Vec::new(),
            memory_bytes: 0,
        }
    }

    pub(crate) async fn call(&mut self, function: &str, input: &Value) -> Answer {
        Ok(self.timed(function, input).await?.0)
    }

    /// As [`Self::call`], with how long it took.
    async fn timed(
        &mut self,
        function: &str,
        input: &Value,
    ) -> Result<(Result<Value, Value>, Duration), Unmet> {
        let invoked = self.invoker.invoke(function, input).await;
        let invocation = invoked.map_err(|error| Unmet::Wrong(format!("`{function}`: {error}")))?;
        self.memory_bytes = self.memory_bytes.max(invocation.memory_bytes);
        match invocation.answer {
            Ok(answer) => Ok((answer, invocation.elapsed)),
            Err(fault) => {
                let reason = format!("`{function}` ended without an answer: {}", words(&fault));
                let is_late = matches!(
                    fault,
                    Fault::Busy(_)
                        | Fault::Trap {
                            class: TrapClass::Deadline,
                            ..
                        }
                );
                Err(match is_late {
                    true => Unmet::Late(reason),
                    false => Unmet::Wrong(reason),
                })
            }
        }
    }

    /// Whether there is any answer at all, an error included; `what` was asked about.
    pub(crate) async fn answers(
        &mut self,
        function: &str,
        input: &Value,
        what: impl FnOnce() -> String,
    ) -> Result<(), String> {
        match self.call(function, input).await {
            Ok(_) => Ok(()),
            Err(reason) => Err(format!("{}: {reason}", what())),
        }
    }

    /// The `ok` of a call that must have one.
    pub(crate) async fn ok(&mut self, function: &str, input: &Value) -> Result<Value, String> {
        match self.call(function, input).await? {
            Ok(value) => Ok(value),
            Err(error) => Err(format!(
                "`{function}` answered with an error: {}",
                cut(&error)
            )),
        }
    }

    pub(crate) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(crate) fn note(&mut self, name: &'static str, result: Result<(), String>) {
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(reason) => Outcome::Failed(reason),
        };
        self.checks.push(Check { name, outcome });
    }

    pub(crate) fn skip(&mut self, name: &'static str, reason: impl Into<String>) {
        let outcome = Outcome::Skipped(reason.into());
        self.checks.push(Check { name, outcome });
    }

    /// The same answer to the same question, a hundred times.
    pub(crate) async fn repeated(&mut self, function: &str, input: &Value) -> Result<(), String> {
        const NUM_CALLS: usize = 100;
        let first = self.call(function, input).await?;
        for number in 1..NUM_CALLS {
            let again = self.call(function, input).await?;
            if again != first {
                return Err(format!(
                    "`{function}` is to answer the same question alike; call {number} answered {} after {}",
                    shown(&again),
                    shown(&first)
                ));
            }
        }
        Ok(())
    }

    /// The answer, when it comes within a share of the function's deadline. The fastest of a few
    /// calls counts, and one that came too late is asked again: the machine may be busy, and is
    /// waited for a while to be less so.
    pub(crate) async fn within(
        &mut self,
        function: &str,
        input: &Value,
        share: u32,
    ) -> Result<Value, Unmet> {
        const NUM_TRIES: usize = 5;
        const TRIED_FOR: Duration = Duration::from_secs(4);
        let deadline = self.invoker.deadline(function);
        let wanted = deadline.map_err(|e| Unmet::Wrong(e.to_string()))? / share;
        let mut fastest = None;
        let mut late = None;
        let (began, mut num_tries) = (Instant::now(), 0);
        while num_tries < NUM_TRIES || began.elapsed() < TRIED_FOR {
            num_tries += 1;
            let (answer, elapsed) = match self.timed(function, input).await {
                Err(Unmet::Late(reason)) => {
                    late = Some(reason);
                    continue;
                }
                other => other?,
            };
            let value = answer.map_err(|error| {
                let error = cut(&error);
                Unmet::Wrong(format!("`{function}` answered with an error: {error}"))
            })?;
            if elapsed <= wanted {
                return Ok(value);
            }
            fastest = Some(fastest.map_or(elapsed, |fastest: Duration| fastest.min(elapsed)));
        }
        Err(Unmet::Late(match (fastest, late) {
            (None, Some(reason)) => reason,
            (fastest, _) => format!(
                "`{function}` is to answer within {} ms, its fastest answer took {} ms",
                wanted.as_millis(),
                fastest.unwrap_or_default().as_millis()
            ),
        }))
    }

    pub(crate) fn check_memory(&mut self) {
        let (used, limit) = (self.memory_bytes, self.invoker.limits().memory_bytes);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no exact bytes")]
        let result = if used as f64 <= limit as f64 * MEMORY_SHARE {
            Ok(())
        } else {
            Err(format!(
                "the calls of this suite are to need at most {MEMORY_SHARE} of the {limit} bytes that a call has, one needed {used}"
            ))
        };
        self.note("memory", result);
    }

    pub(crate) fn into_report(self) -> Report {
        let facts = self.invoker.facts();
        Report {
            plugin: Some(facts.name.clone()),
            world: Some(facts.world),
            checks: self.checks,
        }
    }
}

fn words(fault: &Fault) -> String {
    match fault {
        Fault::Trap { class, .. } => format!("{} ({fault})", class.meaning()),
        other => other.to_string(),
    }
}

/// An answer for a message.
pub(crate) fn shown(answer: &Result<Value, Value>) -> String {
    match answer {
        Ok(value) => format!("`ok` {}", cut(value)),
        Err(error) => format!("`err` {}", cut(error)),
    }
}

/// JSON for a message: on one line, not long, and without what a terminal would obey.
pub(crate) fn cut(value: &Value) -> String {
    const MAX_CHARS: usize = 300;
    let text = value.to_string();
    let mut chars = text.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(MAX_CHARS) {
        match char {
            '"' | '\\' => shown.push(char),
            other => shown.extend(other.escape_debug()),
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}
