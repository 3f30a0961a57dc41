//! Compiles an expression: one pass over its tokens checks the types and writes the code.
//!
//! The grammar and the precedences are those of the original's language, expr-lang for Go, as far as
//! truths, whole numbers, texts and lists of texts go. What is not supported is a mistake that says
//! so; nothing is taken to mean something else.

use crate::code::{Function, Op, Type};
use crate::operand::names;
use crate::pattern;
use crate::token::{self, Token};
use opendepot_plugin_sdk::settings::shown;

/// The longest expression, in characters: what the resource's schema allows.
pub(crate) const MAX_CHARACTERS: usize = 4096;
/// How deep brackets, predicates and operators may nest.
const MAX_DEPTH: usize = 32;
const MAX_VARIABLES: usize = 32;

/// The one variable that every expression has.
pub(crate) const GROUPS: &str = "groups";

/// Words that are no names.
pub(crate) const WORDS: [&str; 14] = [
    "in",
    "not",
    "and",
    "or",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "let",
    "if",
    "else",
    "true",
    "false",
    "nil",
];

/// What is wrong with an expression, and where.
#[derive(Debug)]
pub(crate) struct Mistake {
    at: usize,
    message: String,
}

impl Mistake {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    /// The message, with the place counted in characters from 1.
    fn shown_in(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or(text);
        format!(
            "{} (character {})",
            self.message,
            before.chars().count() + 1
        )
    }
}

/// The code of an expression over `groups` that gives true or false.
///
/// # Errors
/// The message of a problem.
pub(crate) fn compile(text: &str) -> Result<Vec<Op<String>>, String> {
    if text.chars().count() > MAX_CHARACTERS {
        return Err(format!("longer than {MAX_CHARACTERS} characters"));
    }
    let compile = || {
        let mut compiler = Compiler {
            tokens: token::split(text)?,
            next: 0,
            code: Vec::new(),
            variables: Vec::new(),
            depth: 0,
            num_loops: 0,
        };
        let at = compiler.at();
        let found = compiler.sequence()?;
        compiler.expect(Type::Bool, found, at, "the whole expression")?;
        match compiler.token() {
            Token::End => Ok(compiler.code),
            _ => Err(compiler.unexpected()),
        }
    };
    compile().map_err(|mistake: Mistake| mistake.shown_in(text))
}

pub(crate) struct Compiler<'a> {
    pub(crate) tokens: Vec<(Token<'a>, usize)>,
    pub(crate) next: usize,
    pub(crate) code: Vec<Op<String>>,
    /// Those in scope; a variable's place is its number.
    pub(crate) variables: Vec<(&'a str, Type)>,
    depth: usize,
    pub(crate) num_loops: usize,
}

/// An operator between two values: its precedence and what it does.
#[derive(Clone, Copy)]
enum Infix {
    Pipe,
    Or,
    And,
    Equal,
    NotEqual,
    /// Between numbers or between texts.
    Compare(Function),
    In,
    Matches,
    /// Between texts.
    Text(Function),
    Add,
    Subtract,
    Unsupported,
}

fn infix(token: &Token<'_>) -> Option<(u8, Infix)> {
    let word = match token {
        Token::Symbol(word) => word,
        Token::Name(word) => *word,
        _ => return None,
    };
    Some(match word {
        "|" => (0, Infix::Pipe),
        "||" | "or" => (10, Infix::Or),
        "&&" | "and" => (15, Infix::And),
        "==" => (20, Infix::Equal),
        "!=" => (20, Infix::NotEqual),
        "<" => (20, Infix::Compare(Function::Less)),
        "<=" => (20, Infix::Compare(Function::LessOrEqual)),
        ">" => (20, Infix::Compare(Function::Greater)),
        ">=" => (20, Infix::Compare(Function::GreaterOrEqual)),
        "in" => (20, Infix::In),
        "matches" => (20, Infix::Matches),
        "contains" => (20, Infix::Text(Function::Contains)),
        "startsWith" => (20, Infix::Text(Function::StartsWith)),
        "endsWith" => (20, Infix::Text(Function::EndsWith)),
        "+" => (30, Infix::Add),
        "-" => (30, Infix::Subtract),
        ".." | "*" | "/" | "%" | "**" | "^" | "??" => (30, Infix::Unsupported),
        _ => return None,
    })
}

impl<'a> Compiler<'a> {
    pub(crate) fn token(&self) -> &Token<'a> {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    pub(crate) fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |(_, at)| *at)
    }

    pub(crate) fn advance(&mut self) {
        self.next += 1;
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        match self.token() {
            Token::Symbol(symbol) => *symbol == word,
            Token::Name(name) => *name == word,
            _ => false,
        }
    }

    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn require(&mut self, word: &str) -> Result<(), Mistake> {
        if self.accept(word) {
            return Ok(());
        }
        let found = self.unexpected();
        Err(Mistake::new(
            found.at,
            format!("{}, `{word}` is expected", found.message),
        ))
    }

    pub(crate) fn mistake<T>(&self, message: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake::new(self.at(), message))
    }

    pub(crate) fn unexpected(&self) -> Mistake {
        let message = match self.token() {
            Token::Text(_) => "a text has no meaning here".to_owned(),
            Token::Integer(_) => "a number has no meaning here".to_owned(),
            Token::Name(name) => format!("`{}` has no meaning here", shown(name)),
            Token::Symbol(symbol) => format!("`{symbol}` has no meaning here"),
            Token::End => "the expression ends too early".to_owned(),
        };
        Mistake::new(self.at(), message)
    }

    pub(crate) fn expect(
        &self,
        wanted: Type,
        found: Type,
        at: usize,
        what: &str,
    ) -> Result<(), Mistake> {
        if wanted == found {
            return Ok(());
        }
        let (wanted, found) = (wanted.name(), found.name());
        Err(Mistake::new(
            at,
            format!("{what} must be {wanted}, is {found}"),
        ))
    }

    pub(crate) fn call(&mut self, function: Function) {
        self.code.push(Op::Call(function));
    }

    /// Where code goes that is written next.
    pub(crate) fn here(&self) -> Result<u16, Mistake> {
        u16::try_from(self.code.len()).or_else(|_| self.mistake("the expression is too long"))
    }

    /// Writes a jump whose goal [`Compiler::land`] sets.
    pub(crate) fn jump(&mut self, op: Op<String>) -> usize {
        self.code.push(op);
        self.code.len() - 1
    }

    /// Lets the jump at `place` go on here.
    pub(crate) fn land(&mut self, place: usize) -> Result<(), Mistake> {
        let here = self.here()?;
        if let Some(
            Op::Jump(goal)
            | Op::JumpIfFalse(goal)
            | Op::JumpIfTrue(goal)
            | Op::Branch(goal)
            | Op::Begin(_, goal),
        ) = self.code.get_mut(place)
        {
            *goal = here;
        }
        Ok(())
    }

    /// Variables, then an expression.
    pub(crate) fn sequence(&mut self) -> Result<Type, Mistake> {
        let outer = self.variables.len();
        while self.accept("let") {
            let Token::Name(name) = *self.token() else {
                return Err(self.unexpected());
            };
            let is_taken = WORDS.contains(&name)
                || name == GROUPS
                || self.variables.iter().any(|(known, _)| *known == name)
                || names().any(|known| known == name);
            if is_taken {
                return self.mistake(format!("`{}` is taken, choose another name", shown(name)));
            }
            if self.variables.len() == MAX_VARIABLES {
                return self.mistake(format!("more than {MAX_VARIABLES} variables"));
            }
            self.advance();
            self.require("=")?;
            let found = self.expression(0)?;
            self.require(";")?;
            self.code.push(Op::Store);
            self.variables.push((name, found));
        }
        let found = self.expression(0)?;
        // What a loop's body stores, the machine forgets with each turn.
        self.variables.truncate(outer);
        Ok(found)
    }

    /// An expression of operators that bind at least as strongly as `least`.
    pub(crate) fn expression(&mut self, least: u8) -> Result<Type, Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.mistake(format!("nested deeper than {MAX_DEPTH}"));
        }
        let (start, at) = (self.code.len(), self.at());
        let mut left = self.operand()?;
        while let Some((negated, precedence, operator)) = self.operator(least)? {
            left = self.infix(left, start, at, precedence, operator)?;
            if negated {
                self.call(Function::Not);
            }
        }
        while least == 0 && self.accept("?") {
            self.expect(Type::Bool, left, at, "what stands before `?`")?;
            let branch = self.jump(Op::Branch(0));
            let first = self.expression(0)?;
            self.require(":")?;
            let end = self.jump(Op::Jump(0));
            self.land(branch)?;
            let at = self.at();
            let second = self.expression(0)?;
            self.expect(first, second, at, "what stands behind `:`")?;
            self.land(end)?;
            left = first;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The next operator, if it binds at least as strongly as `least`: `not in` and its like are
    /// negated ones.
    fn operator(&mut self, least: u8) -> Result<Option<(bool, u8, Infix)>, Mistake> {
        let negated = self.is("not");
        let token = if negated {
            self.tokens.get(self.next + 1).map(|(token, _)| token)
        } else {
            Some(self.token())
        };
        let Some((precedence, operator)) = token.and_then(infix) else {
            return Ok(None);
        };
        let may_be_negated = matches!(operator, Infix::In | Infix::Matches | Infix::Text(_));
        if precedence < least || negated && !may_be_negated {
            return Ok(None);
        }
        if matches!(operator, Infix::Unsupported) {
            return self.mistake("this operator is not supported");
        }
        self.next += if negated { 2 } else { 1 };
        Ok(Some((negated, precedence, operator)))
    }

    fn infix(
        &mut self,
        left: Type,
        start: usize,
        left_at: usize,
        precedence: u8,
        operator: Infix,
    ) -> Result<Type, Mistake> {
        let skip = match operator {
            Infix::Pipe => {
                let Token::Name(name) = *self.token() else {
                    return Err(self.unexpected());
                };
                self.advance();
                return self.function(name, Some((left, left_at)));
            }
            Infix::Or => Some(self.jump(Op::JumpIfTrue(0))),
            Infix::And => Some(self.jump(Op::JumpIfFalse(0))),
            _ => None,
        };
        let (right_start, at) = (self.code.len(), self.at());
        let right = self.expression(precedence + 1)?;
        if let Some(skip) = skip {
            self.expect(Type::Bool, left, left_at, "what stands before it")?;
            self.expect(Type::Bool, right, at, "what stands behind it")?;
            self.land(skip)?;
            return Ok(Type::Bool);
        }
        match operator {
            Infix::Equal | Infix::NotEqual | Infix::Compare(_) => {
                if left == Type::List || right == Type::List {
                    let message = "lists cannot be compared; write `\"name\" in groups`";
                    return Err(Mistake::new(left_at, message));
                }
                self.expect(left, right, at, "what it is compared with")?;
                if let Infix::Compare(function) = operator {
                    if left == Type::Bool {
                        return Err(Mistake::new(left_at, "true and false have no order"));
                    }
                    self.call(function);
                } else {
                    self.call(Function::Equal);
                    if matches!(operator, Infix::NotEqual) {
                        self.call(Function::Not);
                    }
                }
                Ok(Type::Bool)
            }
            Infix::In => {
                self.expect(Type::List, right, at, "what stands behind `in`")?;
                self.expect(Type::Text, left, left_at, "what stands before `in`")?;
                self.membership(start);
                Ok(Type::Bool)
            }
            Infix::Matches => {
                self.expect(Type::Text, left, left_at, "what stands before `matches`")?;
                let code = self.code.split_off(right_start);
                let [Op::Text(pattern)] = code.as_slice() else {
                    let message = "behind `matches` stands a pattern in quotes, nothing computed";
                    return Err(Mistake::new(at, message));
                };
                pattern::check(pattern).map_err(|message| Mistake::new(at, message))?;
                self.code.push(Op::Matches(pattern.clone()));
                Ok(Type::Bool)
            }
            Infix::Text(function) => {
                if left == Type::List {
                    let message = "this is about one text; for a list write `\"name\" in groups` or \
                                   `any(groups, …)`";
                    return Err(Mistake::new(left_at, message));
                }
                self.expect(Type::Text, left, left_at, "what stands before it")?;
                self.expect(Type::Text, right, at, "what stands behind it")?;
                self.call(function);
                Ok(Type::Bool)
            }
            Infix::Add if left == Type::Text => {
                self.expect(Type::Text, right, at, "what is added to a text")?;
                self.call(Function::Concat);
                Ok(Type::Text)
            }
            _ => {
                self.expect(Type::Integer, left, left_at, "what stands before it")?;
                self.expect(Type::Integer, right, at, "what stands behind it")?;
                self.call(if matches!(operator, Infix::Add) {
                    Function::Add
                } else {
                    Function::Subtract
                });
                Ok(Type::Integer)
            }
        }
    }

    /// Writes `in`; the commonest of all, a fixed name in the caller's groups, as one step.
    fn membership(&mut self, start: usize) {
        let held = match self.code.get(start..) {
            Some([Op::Text(name), Op::Groups]) => Some(name.clone()),
            _ => None,
        };
        match held {
            Some(name) => {
                self.code.truncate(start);
                self.code.push(Op::Holds(name));
            }
            None => self.call(Function::In),
        }
    }
}
