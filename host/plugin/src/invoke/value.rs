//! JSON and component values, led by the component's own types: one converter for every world.
//!
//! Records are objects with the names of the WIT text. A case is its name or, with a payload, an
//! object with that one key. `list<u8>` is base64 text. An option is `null` or absent when there
//! is none; a list that is absent is empty. A text that carries JSON (settings, claims) may be
//! given as the object itself.

use super::InvokeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use wasmtime::component::{Type, Val};

/// The members whose text is JSON.
const JSON_TEXTS: [&str; 4] = ["settings", "operator", "backend", "claims"];

/// The value of a type that JSON says; `path` is where it stands in the input.
pub(super) fn to_val(ty: &Type, value: &Value, path: &str) -> Result<Val, InvokeError> {
    let refuse = || InvokeError::input(path, &describe(ty), value);
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(refuse)?),
        Type::U8 => Val::U8(number(value).ok_or_else(refuse)?),
        Type::U16 => Val::U16(number(value).ok_or_else(refuse)?),
        Type::U32 => Val::U32(number(value).ok_or_else(refuse)?),
        Type::U64 => Val::U64(value.as_u64().ok_or_else(refuse)?),
        Type::S8 => Val::S8(signed(value).ok_or_else(refuse)?),
        Type::S16 => Val::S16(signed(value).ok_or_else(refuse)?),
        Type::S32 => Val::S32(signed(value).ok_or_else(refuse)?),
        Type::S64 => Val::S64(value.as_i64().ok_or_else(refuse)?),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(refuse)?),
        Type::Char => {
            let mut chars = value.as_str().ok_or_else(refuse)?.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => Val::Char(one),
                _ => return Err(refuse()),
            }
        }
        Type::String => Val::String(text(value, path).ok_or_else(refuse)?),
        Type::List(list) if matches!(list.ty(), Type::U8) => {
            let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            let bytes = bytes.ok_or_else(refuse)?;
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        Type::List(list) => {
            let entries = value.as_array().ok_or_else(refuse)?;
            let entries = entries.iter().enumerate();
            let ty = list.ty();
            let entries = entries.map(|(at, entry)| to_val(&ty, entry, &format!("{path}[{at}]")));
            Val::List(entries.collect::<Result<_, _>>()?)
        }
        Type::Record(_) => record(ty, value, path)?,
        Type::Tuple(tuple) => {
            let entries = value.as_array().ok_or_else(refuse)?;
            if entries.len() != tuple.types().len() {
                return Err(refuse());
            }
            let pairs = tuple.types().zip(entries).enumerate();
            let pairs = pairs.map(|(at, (ty, entry))| to_val(&ty, entry, &format!("{path}[{at}]")));
            Val::Tuple(pairs.collect::<Result<_, _>>()?)
        }
        Type::Variant(variant) => {
            let (name, payload) = case(value).ok_or_else(refuse)?;
            let mut cases = variant.cases();
            let known = cases.find(|case| case.name == name).ok_or_else(refuse)?;
            let payload = match (known.ty, payload) {
                (None, None | Some(Value::Null)) => None,
                (Some(ty), Some(payload)) => {
                    let value = to_val(&ty, payload, &join(path, name))?;
                    Some(Box::new(value))
                }
                (Some(_), None) | (None, Some(_)) => return Err(refuse()),
            };
            Val::Variant(name.to_owned(), payload)
        }
        Type::Enum(names) => {
            let name = value.as_str().ok_or_else(refuse)?;
            if !names.names().any(|known| known == name) {
                return Err(refuse());
            }
            Val::Enum(name.to_owned())
        }
        Type::Option(option) => match value {
            Value::Null => Val::Option(None),
            some => Val::Option(Some(Box::new(to_val(&option.ty(), some, path)?))),
        },
        Type::Flags(flags) => {
            let names = value.as_array().ok_or_else(refuse)?;
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            let names = names.ok_or_else(refuse)?;
            if names.iter().any(|name| !flags.names().any(|n| n == *name)) {
                return Err(refuse());
            }
            Val::Flags(names.into_iter().map(str::to_owned).collect())
        }
        // No world has arguments of these.
        _ => return Err(refuse()),
    })
}

fn record(ty: &Type, value: &Value, path: &str) -> Result<Val, InvokeError> {
    let refuse = || InvokeError::input(path, &describe(ty), value);
    let (Type::Record(record), Value::Object(members)) = (ty, value) else {
        return Err(refuse());
    };
    let names: Vec<&str> = record.fields().map(|field| field.name).collect();
    if let Some(unknown) = members.keys().find(|key| !names.contains(&key.as_str())) {
        return Err(InvokeError::Unknown {
            path: join(path, unknown),
            accepted: names.join(", "),
        });
    }
    let mut fields = Vec::with_capacity(names.len());
    for field in record.fields() {
        let path = join(path, field.name);
        let value = match members.get(field.name) {
            Some(value) => to_val(&field.ty, value, &path)?,
            None => absent(&field.ty).ok_or_else(|| InvokeError::Missing {
                path,
                expected: describe(&field.ty),
            })?,
        };
        fields.push((field.name.to_owned(), value));
    }
    Ok(Val::Record(fields))
}

/// What stands for a member that is not given, where that says enough.
fn absent(ty: &Type) -> Option<Val> {
    match ty {
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        _ => None,
    }
}

/// JSON for a value that a guest answered.
pub(super) fn to_json(value: &Val) -> Value {
    match value {
        Val::Bool(value) => (*value).into(),
        Val::U8(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::S8(value) => (*value).into(),
        Val::S16(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        Val::Float32(value) => (*value).into(),
        Val::Float64(value) => (*value).into(),
        Val::Char(value) => value.to_string().into(),
        Val::String(text) | Val::Enum(text) => text.as_str().into(),
        Val::List(entries) | Val::Tuple(entries) | Val::FixedLengthList(entries) => {
            entries.iter().map(to_json).collect()
        }
        Val::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), to_json(value)));
            Value::Object(fields.collect())
        }
        Val::Variant(name, None) => name.as_str().into(),
        Val::Variant(name, Some(payload)) => {
            Value::Object(Map::from_iter([(name.clone(), to_json(payload))]))
        }
        Val::Option(None) => Value::Null,
        Val::Option(Some(value)) => to_json(value),
        Val::Flags(names) => names.iter().map(String::as_str).collect(),
        Val::Map(pairs) => {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| Value::from(vec![to_json(key), to_json(value)]))
                .collect()
        }
        Val::Result(result) => {
            let (name, payload) = match result {
                Ok(payload) => ("ok", payload),
                Err(payload) => ("err", payload),
            };
            let payload = payload.as_deref().map_or(Value::Null, to_json);
            Value::Object(Map::from_iter([(name.to_owned(), payload)]))
        }
        // No world answers with these.
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Value::Null,
    }
}

/// As [`to_json`], with lists of bytes as base64 text, which only the type tells from lists of
/// numbers.
pub(super) fn to_json_of(ty: Option<&Type>, value: &Val) -> Value {
    match (ty, value) {
        (Some(Type::List(list)), Val::List(entries)) if matches!(list.ty(), Type::U8) => {
            let bytes: Vec<u8> = entries
                .iter()
                .map(|entry| match entry {
                    Val::U8(byte) => *byte,
                    _ => 0,
                })
                .collect();
            STANDARD.encode(bytes).into()
        }
        (Some(Type::List(list)), Val::List(entries)) => {
            let ty = list.ty();
            entries
                .iter()
                .map(|entry| to_json_of(Some(&ty), entry))
                .collect()
        }
        (Some(Type::Record(record)), Val::Record(fields)) => {
            let pairs = record.fields().zip(fields);
            let members = pairs
                .map(|(field, (name, value))| (name.clone(), to_json_of(Some(&field.ty), value)));
            Value::Object(members.collect())
        }
        (Some(Type::Option(option)), Val::Option(Some(value))) => {
            to_json_of(Some(&option.ty()), value)
        }
        (Some(Type::Variant(variant)), Val::Variant(name, Some(payload))) => {
            let case = variant.cases().find(|case| case.name == *name);
            let ty = case.and_then(|case| case.ty);
            Value::Object(Map::from_iter([(
                name.clone(),
                to_json_of(ty.as_ref(), payload),
            )]))
        }
        (_, other) => to_json(other),
    }
}

/// Bytes that the typed calls of a registry would charge for lifting this answer.
pub(super) fn cost(ty: &Type, value: &Val) -> usize {
    match (ty, value) {
        (_, Val::String(text)) => text.len(),
        (Type::List(list), Val::List(entries)) => {
            let ty = list.ty();
            let own = entries.len().saturating_mul(size(&ty));
            // Bytes have no more to them, and there may be many.
            match ty {
                Type::U8 => own,
                ty => entries
                    .iter()
                    .map(|entry| cost(&ty, entry))
                    .fold(own, usize::saturating_add),
            }
        }
        (Type::Record(record), Val::Record(fields)) => {
            let pairs = record.fields().zip(fields);
            pairs
                .map(|(field, (_, value))| cost(&field.ty, value))
                .sum()
        }
        (Type::Tuple(tuple), Val::Tuple(entries)) => {
            let pairs = tuple.types().zip(entries);
            pairs.map(|(ty, value)| cost(&ty, value)).sum()
        }
        (Type::Variant(variant), Val::Variant(name, Some(payload))) => {
            let case = variant.cases().find(|case| case.name == *name);
            case.and_then(|case| case.ty)
                .map_or(0, |ty| cost(&ty, payload))
        }
        (Type::Option(option), Val::Option(Some(value))) => cost(&option.ty(), value),
        (Type::Result(result), Val::Result(value)) => match value {
            Ok(Some(value)) => result.ok().map_or(0, |ty| cost(&ty, value)),
            Err(Some(value)) => result.err().map_or(0, |ty| cost(&ty, value)),
            Ok(None) | Err(None) => 0,
        },
        _ => 0,
    }
}

/// The size of a type in the host's own structures, in bytes.
fn size(ty: &Type) -> usize {
    const POINTER_LENGTH_CAPACITY: usize = 24;
    match ty {
        Type::Bool | Type::U8 | Type::S8 | Type::Enum(_) => 1,
        Type::U16 | Type::S16 => 2,
        Type::U32 | Type::S32 | Type::Float32 | Type::Char | Type::Flags(_) => 4,
        Type::String | Type::List(_) => POINTER_LENGTH_CAPACITY,
        Type::Record(record) => record.fields().map(|field| size(&field.ty)).sum(),
        Type::Tuple(tuple) => tuple.types().map(|ty| size(&ty)).sum(),
        Type::Variant(variant) => {
            let payloads = variant.cases().filter_map(|case| case.ty);
            // The tag has room in a text's capacity.
            payloads.map(|ty| size(&ty)).max().unwrap_or(1)
        }
        Type::Option(option) => size(&option.ty()),
        _ => 8,
    }
}

/// What a type accepts, in words.
pub(super) fn describe(ty: &Type) -> String {
    match ty {
        Type::Bool => "`true` or `false`".to_owned(),
        Type::U8 => "a number from 0 to 255".to_owned(),
        Type::U16 => "a number from 0 to 65535".to_owned(),
        Type::U32 => "a number from 0 to 4294967295".to_owned(),
        Type::U64 => "a whole number from 0".to_owned(),
        Type::S8 | Type::S16 | Type::S32 | Type::S64 => "a whole number".to_owned(),
        Type::Float32 | Type::Float64 => "a number".to_owned(),
        Type::Char => "a text of one character".to_owned(),
        Type::String => "a text".to_owned(),
        Type::List(list) if matches!(list.ty(), Type::U8) => "base64 text".to_owned(),
        Type::List(list) => format!("a list, each of it {}", describe(&list.ty())),
        Type::Tuple(tuple) => format!("a list of {} values", tuple.types().len()),
        Type::Record(record) => {
            let names: Vec<&str> = record.fields().map(|field| field.name).collect();
            format!("an object with {}", names.join(", "))
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| match case.ty {
                None => format!("\"{}\"", case.name),
                Some(ty) => format!("{{\"{}\": {}}}", case.name, describe(&ty)),
            });
            format!("one of {}", cases.collect::<Vec<_>>().join(", "))
        }
        Type::Enum(names) => {
            let names = names.names().map(|name| format!("\"{name}\""));
            format!("one of {}", names.collect::<Vec<_>>().join(", "))
        }
        Type::Option(option) => format!("{}, or null", describe(&option.ty())),
        Type::Flags(flags) => {
            format!("a list of {}", flags.names().collect::<Vec<_>>().join(", "))
        }
        _ => "nothing that JSON can say".to_owned(),
    }
}

fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    value.as_u64()?.try_into().ok()
}

fn signed<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    value.as_i64()?.try_into().ok()
}

fn text(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => {
            let name = path.rsplit('.').next().unwrap_or_default();
            JSON_TEXTS.contains(&name).then(|| value.to_string())
        }
        _ => None,
    }
}

fn case(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Object(members) if members.len() == 1 => {
            let (name, payload) = members.iter().next()?;
            Some((name, Some(payload)))
        }
        _ => None,
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
