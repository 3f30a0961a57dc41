//! The half of the compiler that reads values: what stands between operators.

use crate::code::{FUNCTIONS, Function, LOOPS, Loop, Op, Type};
use crate::compile::{Compiler, GROUPS, Mistake, WORDS};
use crate::token::Token;
use opendepot_plugin_sdk::settings::{hint, shown};

impl<'a> Compiler<'a> {
    /// A value with what stands before and behind it.
    pub(crate) fn operand(&mut self) -> Result<Type, Mistake> {
        let at = self.at();
        let mut found = if self.accept("not") || self.accept("!") {
            let at = self.at();
            let found = self.expression(50)?;
            self.expect(Type::Bool, found, at, "what `not` negates")?;
            self.call(Function::Not);
            Type::Bool
        } else if self.is("-") || self.is("+") {
            let negates = self.is("-");
            self.advance();
            let at = self.at();
            let found = self.expression(90)?;
            self.expect(Type::Integer, found, at, "what has a sign")?;
            if negates {
                self.call(Function::Negate);
            }
            Type::Integer
        } else {
            self.value()?
        };
        while self.accept("[") {
            self.expect(Type::List, found, at, "what stands before `[`")?;
            let at = self.at();
            let index = self.expression(0)?;
            self.expect(Type::Integer, index, at, "a place in a list")?;
            self.require("]")?;
            self.call(Function::Index);
            found = Type::Text;
        }
        if self.is(".") || self.is("?.") {
            return self.mistake("texts and lists have no fields");
        }
        Ok(found)
    }

    fn value(&mut self) -> Result<Type, Mistake> {
        let token = self.token().clone();
        let (op, found) = match token {
            Token::Text(text) => (Op::Text(text), Type::Text),
            Token::Integer(number) => (Op::Integer(number), Type::Integer),
            Token::Name("true") => (Op::Bool(true), Type::Bool),
            Token::Name("false") => (Op::Bool(false), Type::Bool),
            Token::Name(GROUPS) => (Op::Groups, Type::List),
            Token::Symbol("#") if self.num_loops > 0 => (Op::Item, Type::Text),
            Token::Symbol("#") => return self.mistake("`#` has a meaning only in a predicate"),
            Token::Symbol("(") => {
                self.advance();
                let found = self.expression(0)?;
                self.require(")")?;
                return Ok(found);
            }
            Token::Symbol("[") => {
                self.advance();
                return self.list();
            }
            Token::Name(name) if !WORDS.contains(&name) => return self.named(name),
            Token::Name(name @ ("nil" | "if" | "let")) => {
                return self.mistake(format!("`{name}` is not supported here"));
            }
            _ => return Err(self.unexpected()),
        };
        self.code.push(op);
        self.advance();
        Ok(found)
    }

    /// The rest of a list of texts.
    fn list(&mut self) -> Result<Type, Mistake> {
        let mut length: u16 = 0;
        while !self.accept("]") {
            if length > 0 {
                self.require(",")?;
                if self.accept("]") {
                    break;
                }
            }
            let at = self.at();
            let found = self.expression(0)?;
            self.expect(Type::Text, found, at, "what is in a list")?;
            length = length.saturating_add(1);
        }
        self.code.push(Op::List(length));
        Ok(Type::List)
    }

    /// A variable or a function.
    fn named(&mut self, name: &'a str) -> Result<Type, Mistake> {
        let found = self
            .variables
            .iter()
            .zip(0_u8..)
            .find(|((known, _), _)| *known == name)
            .map(|((_, found), place)| (*found, place));
        if let Some((found, place)) = found {
            self.advance();
            self.code.push(Op::Load(place));
            return Ok(found);
        }
        let after = self.tokens.get(self.next + 1).map(|(token, _)| token);
        if after == Some(&Token::Symbol("(")) {
            self.advance();
            return self.function(name, None);
        }
        let mut known: Vec<&str> = self.variables.iter().map(|(name, _)| *name).collect();
        known.insert(0, GROUPS);
        self.mistake(format!(
            "unknown name `{}`{}",
            shown(name),
            hint(name, &known)
        ))
    }

    /// A function's arguments, of which a pipe has given the first; its name has been read.
    pub(crate) fn function(
        &mut self,
        name: &str,
        piped: Option<(Type, usize)>,
    ) -> Result<Type, Mistake> {
        let name_at = self.at();
        self.require("(")?;
        if let Some((_, kind)) = LOOPS.iter().find(|(known, _)| *known == name) {
            return self.looped(*kind, piped);
        }
        let Some((_, parameters, result, function)) =
            FUNCTIONS.iter().find(|(known, ..)| *known == name)
        else {
            let known: Vec<&str> = names().collect();
            return Err(Mistake::new(
                name_at,
                format!("unknown function `{}`{}", shown(name), hint(name, &known)),
            ));
        };
        let takes = match parameters.len() {
            1 => format!("`{name}` takes 1 argument"),
            count => format!("`{name}` takes {count} arguments"),
        };
        for (index, parameter) in parameters.iter().enumerate() {
            let (found, at) = match piped.filter(|_| index == 0) {
                Some(piped) => piped,
                None => {
                    let is_first = index == usize::from(piped.is_some());
                    if !is_first && !self.accept(",") {
                        return self.mistake(takes);
                    }
                    let at = self.at();
                    (self.expression(0)?, at)
                }
            };
            if *function != Function::Length || found != Type::Text {
                self.expect(*parameter, found, at, &format!("an argument of `{name}`"))?;
            }
        }
        self.accept(",");
        if !self.accept(")") {
            return self.mistake(takes);
        }
        self.call(*function);
        Ok(*result)
    }

    /// A loop's list, unless a pipe has given it, and its predicate.
    fn looped(&mut self, kind: Loop, piped: Option<(Type, usize)>) -> Result<Type, Mistake> {
        let (list, at) = match piped {
            Some(piped) => piped,
            None => {
                let at = self.at();
                let list = self.expression(0)?;
                self.require(",")?;
                (list, at)
            }
        };
        self.expect(Type::List, list, at, "what is looped over")?;
        let begin = self.jump(Op::Begin(kind, 0));
        let body = self.here()?;
        let (wanted, result) = kind.types();
        self.num_loops += 1;
        let at = self.at();
        let found = if self.accept("{") {
            let found = self.sequence()?;
            self.require("}")?;
            found
        } else {
            self.expression(0)?
        };
        self.num_loops -= 1;
        self.expect(wanted, found, at, "the predicate")?;
        self.code.push(Op::Next(body));
        self.land(begin)?;
        self.accept(",");
        self.require(")")?;
        Ok(result)
    }
}

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let loops = LOOPS.iter().map(|(name, _)| *name);
    loops.chain(FUNCTIONS.iter().map(|(name, ..)| *name))
}
