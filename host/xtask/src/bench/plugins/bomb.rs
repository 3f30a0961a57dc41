//! A component whose compilation takes more than it may, and whether one is being compiled.

use anyhow::{Result, bail};
use std::fs;
use std::time::{Duration, Instant};
use wasm_encoder::{
    BlockType, CodeSection, Component, Function, FunctionSection, Module, ModuleSection,
    TypeSection, ValType,
};

/// Below what is refused by size.
pub(super) const BYTES: usize = 30 << 20;
/// With these it runs into the time limit; with four times as many, into that of memory, in seconds.
const LOCALS: u32 = 1_000;
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// More than a compilation may take.
const ENDED_WITHIN: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);

/// A thousand locals that all live through a thousand loops, in as many functions as fit.
pub(super) fn component() -> Vec<u8> {
    let mut function = Function::new([(LOCALS, ValType::I32)]);
    let mut code = function.instructions();
    for local in 0..LOCALS {
        code.loop_(BlockType::Empty)
            .local_get(local)
            .local_get((local * 7 + 1) % LOCALS)
            .i32_add()
            .local_tee((local * 13 + 5) % LOCALS)
            .br_if(0)
            .end();
    }
    code.end();
    let (mut types, mut functions, mut codes) = (
        TypeSection::new(),
        FunctionSection::new(),
        CodeSection::new(),
    );
    types.ty().function([], []);
    for _ in 0..BYTES / function.byte_len() {
        functions.function(0);
        codes.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&codes);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

/// Waits until the server has a compiler running.
pub(super) async fn started(server: u32) -> Result<()> {
    wait(server, true, STARTED_WITHIN).await
}

/// Waits until it has none.
pub(super) async fn ended(server: u32) -> Result<()> {
    wait(server, false, ENDED_WITHIN).await
}

async fn wait(server: u32, is_wanted: bool, within: Duration) -> Result<()> {
    let start = Instant::now();
    while has_child(server)? != is_wanted {
        if start.elapsed() > within {
            let state = if is_wanted { "no" } else { "still a" };
            bail!("{state} compiler after {} s", within.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The server starts no other processes.
fn has_child(server: u32) -> Result<bool> {
    for process in fs::read_dir("/proc")? {
        // A process may end while it is looked at, and not every folder is one.
        let stat = fs::read_to_string(process?.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(&server.to_string()) {
            return Ok(true);
        }
    }
    Ok(false)
}
