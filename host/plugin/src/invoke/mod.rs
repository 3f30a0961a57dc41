//! One component by itself, called function by function with JSON: for its author and for the
//! conformance suites.
//!
//! What bounds it: the same as a registry's calls, through the same code: a fresh instance a call,
//! its deadlines, memory, host calls and bytes. Only the breaker is not asked.
//!
//! What may surprise: settings are not validated first, so that a component can be asked what it
//! thinks of bad ones. Plans and judgements come as the guest says them; a registry holds them
//! against the grants.

mod error;
mod example;
mod input;
mod load;
mod value;

pub use error::InvokeError;

use crate::call::{CallState, Caller, Function, Identity, Meter, Stop};
use crate::compile::CompileConfig;
use crate::config::GrantsConfig;
use crate::egress::HttpSender;
use crate::error::Fault;
use crate::limits::Limits;
use crate::manifest::Needs;
use crate::world::World;
use opendepot_domain::{PluginId, Sha256};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Type, Val};

/// What a component is called with.
#[derive(Clone, Default)]
pub struct InvokerConfig {
    /// The operator's settings, over those of `plugin.yaml`; an object, or null for none.
    pub settings: Value,
    /// What it may do. A bare component, without `plugin.yaml`, asks for all of it.
    pub grants: GrantsConfig,
    /// The folder of secrets.
    pub secrets_dir: Option<PathBuf>,
    /// Limits.
    pub limits: Limits,
    /// How it is compiled.
    pub compile: CompileConfig,
    /// Sends its requests; none: it sends none.
    pub http: Option<Arc<dyn HttpSender>>,
}

/// A loaded component.
pub struct Invoker {
    caller: Caller,
    identity: Arc<Identity>,
    component: Component,
    pre: InstancePre<CallState>,
    facts: ComponentFacts,
    settings: String,
}

/// What is known of a component without calling it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentFacts {
    /// The name in `plugin.yaml`; of a bare component the file's.
    pub name: PluginId,
    /// The world that it exports.
    pub world: World,
    /// Digest of its bytes.
    pub digest: Sha256,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// What `plugin.yaml` asks for.
    pub needs: Needs,
    /// How long compiling took, or fetching what was compiled before.
    pub compile_time: Duration,
}

/// One call that came to an end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// The guest's `ok` or `err` as JSON, or how the call ended without one.
    pub answer: Result<Result<Value, Value>, Fault>,
    /// Instance and call together.
    pub elapsed: Duration,
    /// Linear memory that the call came to hold, in bytes.
    pub memory_bytes: usize,
    /// Host functions that it called.
    pub num_host_calls: u32,
    /// What it logged: level and line, escaped and cut as in a registry's log.
    pub log: Vec<(&'static str, String)>,
}

impl Invoker {
    /// What is known of the component without calling it.
    #[must_use]
    pub fn facts(&self) -> &ComponentFacts {
        &self.facts
    }

    /// The settings of calls that name none, as JSON text.
    #[must_use]
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// The limits of the calls.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.caller.limits
    }

    /// Guest time that a function has.
    ///
    /// # Errors
    /// [`InvokeError::Function`].
    pub fn deadline(&self, function: &str) -> Result<Duration, InvokeError> {
        let (function, _) = self.function(function)?;
        Ok(function.timeouts(&self.caller.limits).0)
    }

    /// An input for a function to begin with: every argument that it takes.
    ///
    /// # Errors
    /// [`InvokeError::Function`].
    pub async fn example(&self, function: &str) -> Result<Value, InvokeError> {
        let (_, ty) = self.function(function)?;
        let mut input = Map::new();
        for (name, _) in ty.params() {
            if name == "state" {
                // Opaque; what it is made from says more.
                input.insert("bindings".to_owned(), Value::Array(Vec::new()));
            } else if name == "placement" {
                let located = self.located(&Map::new()).await;
                let placement = located.unwrap_or_else(
                    |_| serde_json::json!({ "store": "file:///", "key": "vpc/vpc-1.2.3.zip" }),
                );
                input.insert(name.to_owned(), placement);
            } else if let Some(value) = example::argument(name, &self.settings) {
                input.insert(name.to_owned(), readable(value));
            }
        }
        Ok(Value::Object(input))
    }

    /// Calls one function. `input` is an object of its arguments; those that it lacks are as
    /// [`Self::example`] has them, `state` is what `prepare` answers for `bindings`, and
    /// `placement` is where `locate` puts the artifact.
    ///
    /// # Errors
    /// [`InvokeError`] when it was not called. How a call ends is part of the [`Invocation`].
    pub async fn invoke(&self, function: &str, input: &Value) -> Result<Invocation, InvokeError> {
        let (function, ty) = self.function(function)?;
        let arguments = self.arguments(&ty, input).await?;
        Ok(self.call(function, &ty, arguments).await)
    }

    fn function(&self, name: &str) -> Result<(Function, ComponentFunc), InvokeError> {
        let engine = &self.caller.engine;
        let of_type = self.component.component_type();
        let export = of_type.get_export(engine, self.facts.world.export());
        let mut names = Vec::new();
        if let Some(ComponentItem::ComponentInstance(interface)) = export.map(|export| export.ty) {
            for (exported, item) in interface.exports(engine) {
                let ComponentItem::ComponentFunc(ty) = item.ty else {
                    continue;
                };
                let known = Function::ALL.into_iter().find(|f| f.label() == exported);
                match known {
                    Some(function) if exported == name => return Ok((function, ty)),
                    Some(function) => names.push(format!("`{}`", function.label())),
                    None => {}
                }
            }
        }
        Err(InvokeError::Function {
            function: crate::text::cut(name, 80),
            world: self.facts.world,
            accepted: names.join(", "),
        })
    }

    async fn call(
        &self,
        function: Function,
        ty: &ComponentFunc,
        arguments: Vec<Val>,
    ) -> Invocation {
        let meter = Arc::new(Meter::with_log());
        let (pre, interface) = (self.pre.clone(), self.facts.world.export());
        let limit = function.hostcall_bytes(&self.caller.limits);
        let answered = ty.results().next();
        let of_answer = answered.clone();
        let started = Instant::now();
        let attempted = self.caller.attempt(
            &self.identity,
            function,
            Arc::clone(&meter),
            move |mut store| {
                Box::pin(async move {
                    // A byte costs a whole value here; what it comes to is counted afterwards.
                    store.set_hostcall_fuel(limit.saturating_mul(size_of::<Val>()));
                    let instance = pre.instantiate_async(&mut store).await?;
                    let missing = || wasmtime::Error::msg("the component exports it no more");
                    let interface = instance
                        .get_export_index(&mut store, None, interface)
                        .ok_or_else(missing)?;
                    let index = instance
                        .get_export_index(&mut store, Some(&interface), function.label())
                        .ok_or_else(missing)?;
                    let func = instance.get_func(&mut store, index).ok_or_else(missing)?;
                    let mut results = [Val::Bool(false)];
                    func.call_async(&mut store, &arguments, &mut results)
                        .await?;
                    let [answer] = results;
                    if of_answer.is_some_and(|ty| value::cost(&ty, &answer) > limit) {
                        return Err(Stop::Answer(limit).into());
                    }
                    Ok(answer)
                })
            },
        );
        let attempted = attempted.await;
        let elapsed = started.elapsed();
        Invocation {
            answer: attempted.map(|answer| outcome(answered.as_ref(), &answer)),
            elapsed,
            memory_bytes: meter.memory_bytes(),
            num_host_calls: meter.num_host_calls(),
            log: meter.take_log(),
        }
    }
}

/// The two sides of the `result` that every function answers.
fn outcome(ty: Option<&Type>, answer: &Val) -> Result<Value, Value> {
    let Val::Result(result) = answer else {
        return Ok(value::to_json(answer));
    };
    let types = match ty {
        Some(Type::Result(ty)) => (ty.ok(), ty.err()),
        _ => (None, None),
    };
    let json = |ty: Option<Type>, value: &Option<Box<Val>>| {
        let value = value.as_deref();
        value.map_or(Value::Null, |value| value::to_json_of(ty.as_ref(), value))
    };
    match result {
        Ok(value) => Ok(json(types.0, value)),
        Err(value) => Err(json(types.1, value)),
    }
}

/// Texts that are JSON, as the JSON that they are.
fn readable(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, value)| (name, readable(value)))
                    .collect(),
            )
        }
        other => other,
    }
}
