//! Splits an expression into tokens, as expr-lang does.

use crate::compile::Mistake;

/// The smallest unit of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A text in quotes, without them.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A name, or an operator that is a word.
    Name(&'a str),
    /// An operator or bracket.
    Symbol(&'static str),
    /// What follows the last one.
    End,
}

/// Longer ones first: `||` is not two of `|`.
const SYMBOLS: [&str; 35] = [
    "||", "&&", "==", "!=", "<=", ">=", "..", "**", "??", "?.", "(", ")", "[", "]", "{", "}", ",",
    ";", ":", "?", "|", "!", "=", "<", ">", "+", "-", "*", "/", "%", "^", ".", "#", "&", "~",
];

/// All tokens with the places where they begin, [`Token::End`] last.
pub(crate) fn split(text: &str) -> Result<Vec<(Token<'_>, usize)>, Mistake> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = skip_blank(text, rest)?;
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            tokens.push((Token::End, at));
            return Ok(tokens);
        };
        let (token, after) = match first {
            '"' | '\'' => quoted(rest, first, at)?,
            '`' => raw(rest, at)?,
            '0'..='9' => integer(rest, at)?,
            'a'..='z' | 'A'..='Z' | '_' | '$' => name(rest),
            _ => symbol(rest, first, at)?,
        };
        tokens.push((token, at));
        rest = after;
    }
}

/// `rest` without what separates tokens: blanks and comments.
fn skip_blank<'a>(text: &str, rest: &'a str) -> Result<&'a str, Mistake> {
    let mut rest = rest;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let at = text.len() - rest.len();
            rest = comment
                .split_once("*/")
                .map(|(_, after)| after)
                .ok_or_else(|| Mistake::new(at, "the comment does not end"))?;
        } else {
            return Ok(rest);
        }
    }
}

fn name(rest: &str) -> (Token<'_>, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (Token::Name(name), after)
}

fn integer(rest: &str, at: usize) -> Result<(Token<'_>, &str), Mistake> {
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let is_fraction = after.starts_with('.') && !after.starts_with("..");
    let number = digits.replace('_', "").parse::<i64>();
    match number {
        Ok(number) if !is_fraction => Ok((Token::Integer(number), after)),
        _ => Err(Mistake::new(at, "only whole decimal numbers are supported")),
    }
}

fn symbol<'a>(rest: &'a str, first: char, at: usize) -> Result<(Token<'a>, &'a str), Mistake> {
    let found = SYMBOLS
        .iter()
        .find_map(|symbol| Some((*symbol, rest.strip_prefix(symbol)?)));
    match found {
        Some((symbol, after)) => Ok((Token::Symbol(symbol), after)),
        None => Err(Mistake::new(
            at,
            format!("`{}` has no meaning here", first.escape_debug()),
        )),
    }
}

fn raw(rest: &str, at: usize) -> Result<(Token<'_>, &str), Mistake> {
    rest.strip_prefix('`')
        .and_then(|rest| rest.split_once('`'))
        .map(|(text, after)| (Token::Text(text.to_owned()), after))
        .ok_or_else(|| Mistake::new(at, "the text does not end: its closing quote is missing"))
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token<'_>, &str), Mistake> {
    let open = || Mistake::new(at, "the text does not end: its closing quote is missing");
    let mut text = String::new();
    let mut characters = rest.chars();
    characters.next();
    loop {
        match characters.next().ok_or_else(open)? {
            '\\' => text.push(escaped(&mut characters, at)?),
            '\n' => return Err(open()),
            c if c == quote => return Ok((Token::Text(text), characters.as_str())),
            c => text.push(c),
        }
    }
}

/// The character that an escape stands for, behind its backslash.
fn escaped(characters: &mut std::str::Chars<'_>, at: usize) -> Result<char, Mistake> {
    let unknown = || {
        Mistake::new(
            at,
            "the text holds an unknown escape; `\\\\` is a backslash",
        )
    };
    Ok(match characters.next().ok_or_else(unknown)? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c @ ('\\' | '"' | '\'' | '`') => c,
        'u' => {
            let mut code = 0;
            for _ in 0..4 {
                let digit = characters.next().and_then(|c| c.to_digit(16));
                code = code * 16 + digit.ok_or_else(unknown)?;
            }
            char::from_u32(code).ok_or_else(unknown)?
        }
        _ => return Err(unknown()),
    })
}
