//! Runs an expression's code for one caller, within a number of steps.

use crate::code::{Function, Loop, Op};
use crate::pattern;
use crate::text::{lower, upper};
use regex_lite::Regex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The caller's groups.
pub(crate) struct Caller<'a> {
    groups: Vec<&'a str>,
    sorted: Vec<&'a str>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(groups: &'a [String]) -> Self {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut sorted = groups.clone();
        sorted.sort_unstable();
        Self { groups, sorted }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It takes more steps than it may.
    TooCostly,
    /// A list has no such place.
    OutOfRange,
    /// A number does not fit.
    Overflow,
    /// The code is none that the compiler writes.
    Damaged,
}

impl Stop {
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::TooCostly => "it takes too many steps for this caller's groups",
            Self::OutOfRange => "it takes a place that the list does not have",
            Self::Overflow => "a number is too large",
            Self::Damaged => "its code is damaged",
        }
    }
}

type Text<'a> = Cow<'a, str>;

#[derive(Clone, Debug)]
enum List<'a> {
    Groups,
    Own(Rc<[Text<'a>]>),
}

#[derive(Clone, Debug)]
enum Value<'a> {
    Bool(bool),
    Integer(i64),
    Text(Text<'a>),
    List(List<'a>),
}

/// A loop that is running.
struct Turn<'a> {
    kind: Loop,
    list: List<'a>,
    index: usize,
    /// How often the body was true.
    count: i64,
    kept: Vec<Text<'a>>,
    /// How many variables there were before the body's own.
    num_variables: usize,
    end: u16,
}

struct Machine<'a, 'b> {
    caller: &'b Caller<'a>,
    stack: Vec<Value<'a>>,
    variables: Vec<Value<'a>>,
    turns: Vec<Turn<'a>>,
    patterns: BTreeMap<usize, Regex>,
    steps_left: usize,
}

/// Whether the expression is true for the caller.
///
/// # Errors
/// When it has no answer within `steps`: a step is one operation, an item of a list that is made or
/// searched, or 16 bytes of text.
pub(crate) fn run<'a>(
    code: &[Op<&'a str>],
    caller: &Caller<'a>,
    steps: usize,
) -> Result<bool, Stop> {
    let mut machine = Machine {
        caller,
        stack: Vec::new(),
        variables: Vec::new(),
        turns: Vec::new(),
        patterns: BTreeMap::new(),
        steps_left: steps,
    };
    let mut at = 0;
    while let Some(op) = code.get(at) {
        machine.pay(1)?;
        at = machine.step(op, at)?;
    }
    machine.truth()
}

impl<'a> Machine<'a, '_> {
    /// One operation; answers where to go on.
    fn step(&mut self, op: &Op<&'a str>, at: usize) -> Result<usize, Stop> {
        let value = match op {
            Op::Bool(truth) => Value::Bool(*truth),
            Op::Integer(number) => Value::Integer(*number),
            Op::Text(text) => Value::Text(Cow::Borrowed(text)),
            Op::Groups => Value::List(List::Groups),
            Op::Item => {
                let turn = self.turns.last().ok_or(Stop::Damaged)?;
                let item = self.item(&turn.list, turn.index).ok_or(Stop::Damaged)?;
                self.pay_text(&item)?;
                Value::Text(item)
            }
            Op::Load(place) => {
                let value = self.variables.get(usize::from(*place));
                let value = value.cloned().ok_or(Stop::Damaged)?;
                if let Value::Text(text) = &value {
                    self.pay_text(text)?;
                }
                value
            }
            Op::Store => {
                let value = self.pop()?;
                self.variables.push(value);
                return Ok(at + 1);
            }
            Op::List(length) => {
                let length = usize::from(*length);
                self.pay(length)?;
                let start = self.stack.len().checked_sub(length).ok_or(Stop::Damaged)?;
                let texts = self.stack.drain(start..).map(|value| match value {
                    Value::Text(text) => Ok(text),
                    _ => Err(Stop::Damaged),
                });
                let texts: Rc<[Text<'a>]> = texts.collect::<Result<_, _>>()?;
                Value::List(List::Own(texts))
            }
            Op::Holds(name) => Value::Bool(self.caller.sorted.binary_search(name).is_ok()),
            Op::Matches(pattern) => self.matches(pattern, at)?,
            Op::Call(function) => self.call(*function)?,
            Op::Jump(goal) => return Ok(usize::from(*goal)),
            Op::JumpIfFalse(goal) | Op::JumpIfTrue(goal) => {
                let Some(Value::Bool(truth)) = self.stack.last() else {
                    return Err(Stop::Damaged);
                };
                if *truth == matches!(op, Op::JumpIfTrue(_)) {
                    return Ok(usize::from(*goal));
                }
                self.stack.pop();
                return Ok(at + 1);
            }
            Op::Branch(goal) => {
                let goes_on = self.truth()?;
                return Ok(if goes_on { at + 1 } else { usize::from(*goal) });
            }
            Op::Begin(kind, end) => {
                let turn = Turn {
                    kind: *kind,
                    list: self.list()?,
                    index: 0,
                    count: 0,
                    kept: Vec::new(),
                    num_variables: self.variables.len(),
                    end: *end,
                };
                if self.length(&turn.list) > 0 {
                    self.turns.push(turn);
                    return Ok(at + 1);
                }
                return self.finish(turn);
            }
            Op::Next(body) => return self.next(*body),
        };
        self.stack.push(value);
        Ok(at + 1)
    }

    /// Takes what a loop's body gave, and begins the next turn or ends the loop.
    fn next(&mut self, body: u16) -> Result<usize, Stop> {
        let given = self.pop()?;
        let mut turn = self.turns.pop().ok_or(Stop::Damaged)?;
        self.variables.truncate(turn.num_variables);
        let is_decided = match (turn.kind, given) {
            (Loop::Map, Value::Text(text)) => {
                turn.kept.push(text);
                false
            }
            (Loop::Filter, Value::Bool(truth)) => {
                if truth {
                    let item = self.item(&turn.list, turn.index).ok_or(Stop::Damaged)?;
                    self.pay_text(&item)?;
                    turn.kept.push(item);
                }
                false
            }
            (kind, Value::Bool(truth)) => {
                turn.count += i64::from(truth);
                match kind {
                    Loop::Any | Loop::None => truth,
                    Loop::All => !truth,
                    Loop::One => turn.count > 1,
                    _ => false,
                }
            }
            _ => return Err(Stop::Damaged),
        };
        turn.index += 1;
        if is_decided || turn.index >= self.length(&turn.list) {
            return self.finish(turn);
        }
        self.turns.push(turn);
        Ok(usize::from(body))
    }

    /// Pushes the result of a loop that is over.
    fn finish(&mut self, turn: Turn<'a>) -> Result<usize, Stop> {
        let num_turns = i64::try_from(turn.index).map_err(|_| Stop::Overflow)?;
        let value = match turn.kind {
            Loop::Any => Value::Bool(turn.count > 0),
            Loop::All => Value::Bool(turn.count == num_turns),
            Loop::None => Value::Bool(turn.count == 0),
            Loop::One => Value::Bool(turn.count == 1),
            Loop::Count => Value::Integer(turn.count),
            Loop::Filter | Loop::Map => Value::List(List::Own(turn.kept.into())),
        };
        self.stack.push(value);
        Ok(usize::from(turn.end))
    }

    fn matches(&mut self, pattern: &str, at: usize) -> Result<Value<'a>, Stop> {
        let text = self.text()?;
        self.pay(text.len().saturating_mul(pattern::weight(pattern)))?;
        if !self.patterns.contains_key(&at) {
            // What compiling one takes, measured.
            self.pay(1000)?;
            let compiled = pattern::compile(pattern).map_err(|_| Stop::Damaged)?;
            self.patterns.insert(at, compiled);
        }
        let compiled = self.patterns.get(&at).ok_or(Stop::Damaged)?;
        Ok(Value::Bool(compiled.is_match(&text)))
    }

    fn call(&mut self, function: Function) -> Result<Value<'a>, Stop> {
        Ok(match function {
            Function::Not => Value::Bool(!self.truth()?),
            Function::Negate => {
                Value::Integer(self.integer()?.checked_neg().ok_or(Stop::Overflow)?)
            }
            Function::Add | Function::Subtract => {
                let (second, first) = (self.integer()?, self.integer()?);
                let sum = if function == Function::Add {
                    first.checked_add(second)
                } else {
                    first.checked_sub(second)
                };
                Value::Integer(sum.ok_or(Stop::Overflow)?)
            }
            Function::Equal
            | Function::Less
            | Function::LessOrEqual
            | Function::Greater
            | Function::GreaterOrEqual => self.compare(function)?,
            Function::In => {
                let (list, text) = (self.list()?, self.text()?);
                self.pay_text(&text)?;
                Value::Bool(match &list {
                    List::Groups => self.caller.sorted.binary_search(&text.as_ref()).is_ok(),
                    List::Own(texts) => {
                        self.pay(texts.len().saturating_mul(1 + text.len() / 64))?;
                        texts.contains(&text)
                    }
                })
            }
            Function::Index => {
                let (index, list) = (self.integer()?, self.list()?);
                let length = i64::try_from(self.length(&list)).map_err(|_| Stop::Overflow)?;
                // A negative place counts from the end.
                let index = if index < 0 { length + index } else { index };
                let index = usize::try_from(index).map_err(|_| Stop::OutOfRange)?;
                let item = self.item(&list, index).ok_or(Stop::OutOfRange)?;
                self.pay_text(&item)?;
                Value::Text(item)
            }
            Function::Length => {
                let length = match self.pop()? {
                    Value::Text(text) => {
                        self.pay_text(&text)?;
                        text.chars().count()
                    }
                    Value::List(list) => self.length(&list),
                    _ => return Err(Stop::Damaged),
                };
                Value::Integer(i64::try_from(length).map_err(|_| Stop::Overflow)?)
            }
            Function::Join => {
                let (separator, list) = (self.text()?, self.list()?);
                let (num_texts, joined) = {
                    let texts = self.texts(&list);
                    (texts.len(), self.joined(&texts, &separator)?)
                };
                self.pay(num_texts + joined.len() / 16)?;
                Value::Text(Cow::Owned(joined))
            }
            Function::Replace => {
                let (with, what, text) = (self.text()?, self.text()?, self.text()?);
                // At most one between all bytes, and at both ends.
                let most = with.len().saturating_mul(text.len() + 1);
                self.pay(text.len().saturating_add(most) / 16)?;
                Value::Text(Cow::Owned(text.replace(what.as_ref(), with.as_ref())))
            }
            Function::Split => {
                let (separator, text) = (self.text()?, self.text()?);
                self.pay(text.len())?;
                Value::List(List::Own(split(&text, &separator)))
            }
            Function::Lower | Function::Upper | Function::Trim => {
                let text = self.text()?;
                self.pay(text.len() / 4)?;
                Value::Text(match function {
                    Function::Lower => Cow::Owned(lower(&text)),
                    Function::Upper => Cow::Owned(upper(&text)),
                    _ => Cow::Owned(text.trim().to_owned()),
                })
            }
            _ => self.two_texts(function)?,
        })
    }

    fn compare(&mut self, function: Function) -> Result<Value<'a>, Stop> {
        let (second, first) = (self.pop()?, self.pop()?);
        let order = match (&first, &second) {
            (Value::Bool(first), Value::Bool(second)) => first.cmp(second),
            (Value::Integer(first), Value::Integer(second)) => first.cmp(second),
            (Value::Text(first), Value::Text(second)) => {
                self.pay_text(first)?;
                first.cmp(second)
            }
            _ => return Err(Stop::Damaged),
        };
        Ok(Value::Bool(match function {
            Function::Less => order.is_lt(),
            Function::LessOrEqual => order.is_le(),
            Function::Greater => order.is_gt(),
            Function::GreaterOrEqual => order.is_ge(),
            _ => order.is_eq(),
        }))
    }

    fn two_texts(&mut self, function: Function) -> Result<Value<'a>, Stop> {
        let (second, first) = (self.text()?, self.text()?);
        self.pay_text(&first)?;
        self.pay_text(&second)?;
        let second = second.as_ref();
        Ok(match function {
            Function::Contains => Value::Bool(first.contains(second)),
            Function::StartsWith => Value::Bool(first.starts_with(second)),
            Function::EndsWith => Value::Bool(first.ends_with(second)),
            Function::Concat => Value::Text(Cow::Owned(format!("{first}{second}"))),
            Function::TrimPrefix => {
                let rest = first.strip_prefix(second).unwrap_or(&first);
                Value::Text(Cow::Owned(rest.to_owned()))
            }
            Function::TrimSuffix => {
                let rest = first.strip_suffix(second).unwrap_or(&first);
                Value::Text(Cow::Owned(rest.to_owned()))
            }
            Function::IndexOf => {
                let place = first.find(second).map(i64::try_from);
                Value::Integer(place.unwrap_or(Ok(-1)).map_err(|_| Stop::Overflow)?)
            }
            _ => return Err(Stop::Damaged),
        })
    }

    fn pay(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Stop::TooCostly)?;
        Ok(())
    }

    fn pay_text(&mut self, text: &str) -> Result<(), Stop> {
        self.pay(text.len() / 16)
    }

    fn pop(&mut self) -> Result<Value<'a>, Stop> {
        self.stack.pop().ok_or(Stop::Damaged)
    }

    fn truth(&mut self) -> Result<bool, Stop> {
        match self.pop()? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Stop::Damaged),
        }
    }

    fn integer(&mut self) -> Result<i64, Stop> {
        match self.pop()? {
            Value::Integer(number) => Ok(number),
            _ => Err(Stop::Damaged),
        }
    }

    fn text(&mut self) -> Result<Text<'a>, Stop> {
        match self.pop()? {
            Value::Text(text) => Ok(text),
            _ => Err(Stop::Damaged),
        }
    }

    fn list(&mut self) -> Result<List<'a>, Stop> {
        match self.pop()? {
            Value::List(list) => Ok(list),
            _ => Err(Stop::Damaged),
        }
    }

    fn length(&self, list: &List<'a>) -> usize {
        match list {
            List::Groups => self.caller.groups.len(),
            List::Own(texts) => texts.len(),
        }
    }

    fn item(&self, list: &List<'a>, index: usize) -> Option<Text<'a>> {
        match list {
            List::Groups => self.caller.groups.get(index).copied().map(Cow::Borrowed),
            List::Own(texts) => texts.get(index).cloned(),
        }
    }

    /// The texts in one, unless it would cost more than is left.
    fn joined(&self, texts: &[&str], separator: &str) -> Result<String, Stop> {
        let size: usize = texts.iter().map(|text| text.len()).sum();
        let between = separator.len().saturating_mul(texts.len());
        if size.saturating_add(between) / 16 > self.steps_left {
            return Err(Stop::TooCostly);
        }
        Ok(texts.join(separator))
    }

    fn texts<'t>(&'t self, list: &'t List<'a>) -> Vec<&'t str> {
        match list {
            List::Groups => self.caller.groups.clone(),
            List::Own(texts) => texts.iter().map(Cow::as_ref).collect(),
        }
    }
}

/// As Go's `strings.Split`: an empty separator splits between characters.
fn split<'a>(text: &str, separator: &str) -> Rc<[Text<'a>]> {
    let owned = |part: &str| Cow::Owned(part.to_owned());
    if separator.is_empty() {
        text.char_indices()
            .filter_map(|(start, c)| text.get(start..start + c.len_utf8()))
            .map(owned)
            .collect()
    } else {
        text.split(separator).map(owned).collect()
    }
}
