//! The arguments of a call: those that were given, and what stands for the others.

use super::{InvokeError, Invoker, example, value};
use crate::call::Function;
use serde_json::{Map, Value};
use wasmtime::component::Val;
use wasmtime::component::types::ComponentFunc;

impl Invoker {
    pub(super) async fn arguments(
        &self,
        ty: &ComponentFunc,
        input: &Value,
    ) -> Result<Vec<Val>, InvokeError> {
        let empty = Map::new();
        let given = match input {
            Value::Null => &empty,
            Value::Object(given) => given,
            other => return Err(InvokeError::input("", "an object of the arguments", other)),
        };
        let mut names: Vec<&str> = ty.params().map(|(name, _)| name).collect();
        if names.contains(&"state") {
            names.push("bindings");
        }
        if let Some(unknown) = given.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(InvokeError::Unknown {
                path: unknown.clone(),
                accepted: names.join(", "),
            });
        }
        let mut arguments = Vec::with_capacity(names.len());
        for (name, ty) in ty.params() {
            let value = match (given.get(name), example::asked_of(name)) {
                (Some(value), _) => self.completed(name, value),
                (None, Some(Function::Prepare)) => self.prepared(given).await?,
                (None, Some(_)) => self.located(given).await?,
                (None, None) => {
                    example::argument(name, &self.settings).ok_or_else(|| InvokeError::Missing {
                        path: name.to_owned(),
                        expected: value::describe(&ty),
                    })?
                }
            };
            arguments.push(value::to_val(&ty, &value, name)?);
        }
        Ok(arguments)
    }

    /// The argument with the settings where they are left out.
    fn completed(&self, name: &str, value: &Value) -> Value {
        let mut value = value.clone();
        if name == "configuration"
            && let Value::Object(members) = &mut value
        {
            let operator = || Value::String(self.settings.clone());
            members.entry("operator").or_insert_with(operator);
        }
        value
    }

    async fn prepared(&self, given: &Map<String, Value>) -> Result<Value, InvokeError> {
        let prepared = self.asked("state", Function::Prepare, given).await?;
        Ok(prepared.get("state").cloned().unwrap_or_default())
    }

    /// Store and key alone, as a record has them.
    pub(super) async fn located(&self, given: &Map<String, Value>) -> Result<Value, InvokeError> {
        let located = self.asked("placement", Function::Locate, given).await?;
        let member = |name: &str| {
            (
                name.to_owned(),
                located.get(name).cloned().unwrap_or_default(),
            )
        };
        Ok(Value::Object(Map::from_iter([
            member("store"),
            member("key"),
        ])))
    }

    async fn asked(
        &self,
        argument: &'static str,
        function: Function,
        given: &Map<String, Value>,
    ) -> Result<Value, InvokeError> {
        let (function, ty) = self.function(function.label())?;
        let mut input = given.clone();
        input.retain(|name, _| ty.params().any(|(taken, _)| taken == name));
        // Boxed, because it asks for arguments in turn.
        let arguments = Box::pin(self.arguments(&ty, &Value::Object(input))).await?;
        let reason = match self.call(function, &ty, arguments).await.answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => crate::text::shown(&error.to_string()).replace("\\\"", "\""),
            Err(fault) => fault.to_string(),
        };
        Err(InvokeError::Unanswered {
            argument,
            function: function.label(),
            reason,
        })
    }
}
