use super::*;
use std::path::PathBuf;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A core module that exports the function `f`, of no parameters and no results.
const EXPORTS_F: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x07\x05\x01\x01f\0\0\
    \x0a\x04\x01\x02\0\x0b";

/// The same, and it imports `f` of the module `IMPORTED` (20 bytes), without using it.
fn importing(module: &[u8; 20]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x1a\x01\x14".to_vec();
    bytes.extend(module);
    bytes.extend(b"\x01f\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\x01\x0a\x04\x01\x02\0\x0b");
    bytes
}

struct Module {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

/// Writes `core` with the description of `world` in it, as bindings generators do.
fn module(core: &[u8], wit: &str) -> Module {
    let mut bytes = core.to_vec();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8, false).unwrap();
    write(&bytes)
}

fn write(bytes: &[u8]) -> Module {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core.wasm");
    std::fs::write(&path, bytes).unwrap();
    Module { _dir: dir, path }
}

#[test]
fn a_core_module_becomes_a_component() {
    let module = module(
        EXPORTS_F,
        "package opendepot:test; world plugin { export f: func(); }",
    );
    let component = componentize(&module.path).unwrap();
    // The binary format's magic, then version 13 and layer 1: a component.
    assert!(component.starts_with(b"\0asm\x0d\0\x01\0"));
    assert_eq!(component, componentize(&module.path).unwrap(), "repeatable");
}

#[test]
fn an_interface_of_ours_may_be_imported() {
    let module = module(
        &importing(b"opendepot:tests/call"),
        "package opendepot:tests;
         interface call { f: func(); }
         world plugin { import call; export f: func(); }",
    );
    assert!(componentize(&module.path).is_ok());
}

#[test]
fn an_interface_that_is_not_ours_is_refused_by_name() {
    let module = module(
        &importing(b"wasi:somewhere/clock"),
        "package wasi:somewhere;
         interface clock { f: func(); }
         world plugin { import clock; export f: func(); }",
    );
    let error = componentize(&module.path).unwrap_err();
    assert!(
        matches!(&error, Error::ForeignImport { import, .. } if import == "wasi:somewhere/clock"),
        "{error}"
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_the_remedy() {
    let lacks_export = module(
        b"\0asm\x01\0\0\0",
        "package opendepot:test; world plugin { export f: func(); }",
    );
    let preview1 = module(
        &importing(b"wasi_snapshot_previe"),
        "package opendepot:test; world plugin { export f: func(); }",
    );
    for (name, module) in [
        ("empty", write(b"")),
        ("text", write(b"(module)")),
        ("cut short", write(&EXPORTS_F[..20])),
        ("describes nothing", write(EXPORTS_F)),
        ("lacks what it describes", lacks_export),
        ("imports what it does not describe", preview1),
    ] {
        let error = componentize(&module.path).unwrap_err();
        assert!(matches!(error, Error::Encode { .. }), "{name}: {error}");
        assert!(error.to_string().contains("registration macros"), "{name}");
    }
}

#[test]
fn a_missing_module_is_named() {
    let error = componentize(Path::new("missing.wasm")).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read `missing.wasm`"),
        "{error}"
    );
}
