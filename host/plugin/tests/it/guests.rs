//! Guests written as core module text. The component around them is made from the WIT folders,
//! so what a test says is the guest's own code and memory.

pub(crate) use wit_component::StringEncoding;
use wit_component::{ComponentEncoder, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");

/// Wraps a core module as a component of a world.
pub(crate) fn component(world: &str, core: &str) -> Vec<u8> {
    component_encoded(world, core, StringEncoding::UTF8)
}

/// As [`component`], with texts in another encoding.
pub(crate) fn component_encoded(world: &str, core: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(format!("{WIT}/{world}@0.1.0")).unwrap();
    let name = format!("{world}-plugin");
    let world = resolve.select_world(&[package], Some(&name)).unwrap();
    encode(&resolve, world, core, encoding)
}

/// An auth component that exports a resource of its own besides its world.
pub(crate) fn auth_with_resource(core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(format!("{WIT}/auth@0.1.0")).unwrap();
    let package = resolve
        .push_str(
            "extra.wit",
            "package test:extra;
             interface things { resource thing { constructor(); } }
             world extra { include opendepot:auth/auth-plugin@0.1.0; export things; }",
        )
        .unwrap();
    let world = resolve.select_world(&[package], Some("extra")).unwrap();
    encode(&resolve, world, core, StringEncoding::UTF8)
}

fn encode(resolve: &Resolve, world: WorldId, core: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut module = wat::parse_str(core).unwrap_or_else(|error| panic!("{error}\n{core}"));
    embed_component_metadata(&mut module, resolve, world, encoding, false).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

/// A component given as text: for shapes that no toolchain makes.
pub(crate) fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap()
}

/// What every guest has: memory, a bump allocator above 64 KiB, and room for static answers.
/// Zeroed memory at 1024 is an `ok` without content.
fn module(head: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "opendepot:host/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  {head}
  (global $heap (mut i32) (i32.const 65536))
  (func $alloc (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap
      (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $enough (i32.ne (i32.const -1) (memory.grow
        (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
      (unreachable))
    (local.get $at))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))
  {body}
)"#
    )
}

const MEMORY: &str = r#"(memory (export "memory") 2)"#;

/// An auth plugin whose `authorize` is the given body: `$args` points at the arguments, of which
/// the number of targets is at 92; a result is at 2048.
pub(crate) fn auth_module(authorize: &str) -> String {
    auth_module_with(MEMORY, "(i32.const 1024)", authorize)
}

pub(crate) fn auth_module_with(head: &str, validate: &str, authorize: &str) -> String {
    module(
        head,
        &format!(
            r#"
  (data (i32.const 3000) "because")
  (data (i32.const 3100) "\ff\fe\fd")
  (data (i32.const 3200) "\1b[31mred\0a{{\"level\":\"error\"}}")
  (func $answer (param $disc i32) (param $n i32) (result i32)
    (local $at i32) (local $i i32)
    (local.set $at (call $alloc (i32.mul (local.get $n) (i32.const 12))))
    (i32.store (i32.const 2052) (local.get $at))
    (i32.store (i32.const 2056) (local.get $n))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (i32.store8 (local.get $at) (local.get $disc))
      (i32.store offset=4 (local.get $at) (i32.const 3000))
      (i32.store offset=8 (local.get $at) (i32.const 7))
      (local.set $at (i32.add (local.get $at) (i32.const 12)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.const 2048))
  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
  (func (export "opendepot:auth/policy@0.1.0#validate") (param i32 i32) (result i32) {validate})
  (func (export "opendepot:auth/policy@0.1.0#prepare") (param i32 i32 i32 i32) (result i32)
    (i32.const 1024))
  (func (export "opendepot:auth/policy@0.1.0#authorize") (param $args i32) (result i32)
    (local $n i32) (local $i i32)
    (local.set $n (i32.load offset=92 (local.get $args)))
    {authorize})"#
        ),
    )
}

pub(crate) fn auth(authorize: &str) -> Vec<u8> {
    component("auth", &auth_module(authorize))
}

pub(crate) const ALLOW: &str = "(call $answer (i32.const 0) (local.get $n))";
pub(crate) const DENY: &str = "(call $answer (i32.const 1) (local.get $n))";
pub(crate) const ABSTAIN: &str = "(call $answer (i32.const 2) (local.get $n))";
pub(crate) const LOOP: &str = "(loop $forever (br $forever)) (unreachable)";
/// Leaves a mark in memory, table-free global and heap; denies where it finds one.
pub(crate) const MARK: &str = r#"
    (if (i32.load (i32.const 5000)) (then (return (call $answer (i32.const 1) (local.get $n)))))
    (i32.store (i32.const 5000) (i32.const 1))
    (if (i32.ne (global.get $mark) (i32.const 0))
      (then (return (call $answer (i32.const 1) (local.get $n)))))
    (global.set $mark (i32.const 1))
    (call $answer (i32.const 0) (local.get $n))"#;

/// Bytes of answers, laid out by the canonical ABI from address 4096.
pub(crate) struct Memory {
    bytes: Vec<u8>,
}

const BASE: usize = 4096;

impl Memory {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Room for `size` bytes, eight-aligned; returns the address.
    fn room(&mut self, size: usize) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = BASE + self.bytes.len();
        self.bytes.resize(self.bytes.len() + size, 0);
        at
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at - BASE..][..bytes.len()].copy_from_slice(bytes);
    }

    fn u32(&mut self, at: usize, value: usize) {
        self.set(at, &u32::try_from(value).unwrap().to_le_bytes());
    }

    fn string(&mut self, at: usize, text: &str) {
        let data = self.room(text.len());
        self.set(data, text.as_bytes());
        self.u32(at, data);
        self.u32(at + 4, text.len());
    }

    fn list(&mut self, at: usize, size: usize, len: usize) -> usize {
        let data = self.room(size * len);
        self.u32(at, data);
        self.u32(at + 4, len);
        data
    }

    fn statuses(&mut self, at: usize, statuses: &[u16]) {
        let data = self.list(at, 2, statuses.len());
        for (index, status) in statuses.iter().enumerate() {
            self.set(data + 2 * index, &status.to_le_bytes());
        }
    }

    fn data(&self) -> String {
        let escaped: String = self.bytes.iter().map(|b| format!("\\{b:02x}")).collect();
        format!("(data (i32.const {BASE}) \"{escaped}\")")
    }
}

/// A placement as a guest states it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) store: &'static str,
    pub(crate) key: &'static str,
    pub(crate) options: Vec<(&'static str, &'static str)>,
    pub(crate) credentials: Option<&'static str>,
}

pub(crate) fn place(store: &'static str, key: &'static str) -> Place {
    Place {
        store,
        key,
        options: Vec::new(),
        credentials: None,
    }
}

/// A signed request as a guest states it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) url: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) expires_at: u64,
}

pub(crate) enum Plan {
    Native(Place),
    Signed(Request),
    Nothing,
}

fn write_place(memory: &mut Memory, at: usize, place: &Place) {
    memory.string(at, place.store);
    memory.string(at + 8, place.key);
    let options = memory.list(at + 24, 20, place.options.len());
    for (index, (name, value)) in place.options.iter().enumerate() {
        memory.string(options + 20 * index, name);
        memory.string(options + 20 * index + 12, value);
    }
    if let Some(name) = place.credentials {
        memory.set(at + 32, &[1]);
        memory.string(at + 36, name);
    }
}

fn write_plan(memory: &mut Memory, plan: &Plan) -> usize {
    let at = memory.room(96);
    let body = at + 16;
    match plan {
        Plan::Native(place) => write_place(memory, body, place),
        Plan::Signed(request) => {
            memory.set(at + 8, &[1]);
            memory.string(body, request.method);
            memory.string(body + 8, request.url);
            let headers = memory.list(body + 16, 28, request.headers.len());
            for (index, (name, value)) in request.headers.iter().enumerate() {
                memory.string(headers + 28 * index, name);
                memory.string(headers + 28 * index + 12, value);
            }
            memory.set(body + 24, &request.expires_at.to_le_bytes());
            memory.statuses(body + 32, &[200, 206]);
            memory.statuses(body + 40, &[409]);
            memory.statuses(body + 48, &[404]);
        }
        Plan::Nothing => memory.set(at + 8, &[2]),
    }
    at
}

/// A storage plugin with fixed answers.
pub(crate) fn storage(located: &Place, plan: &Plan) -> Vec<u8> {
    storage_after(located, plan, "", "")
}

/// As [`storage`], with code before each answer; argument 0 points at the arguments.
pub(crate) fn storage_after(
    located: &Place,
    plan: &Plan,
    before_locate: &str,
    before_plan: &str,
) -> Vec<u8> {
    let mut memory = Memory::new();
    let located_at = memory.room(48);
    write_place(&mut memory, located_at + 4, located);
    let plan_at = write_plan(&mut memory, plan);
    storage_module(
        &memory,
        &format!("{before_locate} (i32.const {located_at})"),
        &format!("{before_plan} (i32.const {plan_at})"),
    )
}

/// A storage plugin that opens `name` and answers `locate` with the error's or the MAC's outcome:
/// key `opened` or the case of the error.
pub(crate) fn storage_opening(name: &str) -> Vec<u8> {
    let mut memory = Memory::new();
    let mut answers = Vec::new();
    for key in ["opened", "denied", "missing", "other"] {
        let at = memory.room(48);
        write_place(&mut memory, at + 4, &place("file:///", key));
        answers.push(at);
    }
    let text_at = memory.room(8);
    memory.string(text_at, name);
    let name_at = memory.room(name.len());
    memory.set(name_at, name.as_bytes());
    let (opened, denied, missing, other) = (answers[0], answers[1], answers[2], answers[3]);
    let locate = format!(
        r#"
    (call $open (i32.const {name_at}) (i32.const {len}) (i32.const 0) (i32.const 2048))
    (if (i32.eqz (i32.load8_u (i32.const 2048))) (then
      (call $mac (i32.load (i32.const 2052)) (i32.const 3000) (i32.const 3) (i32.const 2080))
      (if (i32.ne (i32.load offset=4 (i32.const 2080)) (i32.const 32)) (then (unreachable)))
      (return (i32.const {opened}))))
    (if (i32.eq (i32.load8_u (i32.const 2052)) (i32.const 0)) (then (return (i32.const {denied}))))
    (if (i32.eq (i32.load8_u (i32.const 2052)) (i32.const 1)) (then (return (i32.const {missing}))))
    (i32.const {other})"#,
        len = name.len()
    );
    storage_module_with(
        r#"(import "opendepot:host/secrets@0.1.0" "open" (func $open (param i32 i32 i32 i32)))
  (import "opendepot:host/secrets@0.1.0" "[method]secret.mac-sha256"
    (func $mac (param i32 i32 i32 i32)))"#,
        &memory,
        &locate,
        "(unreachable)",
    )
}

/// A storage plugin that opens the same secret again and again, keeping every handle.
pub(crate) fn storage_hoarding(name: &str) -> Vec<u8> {
    let mut memory = Memory::new();
    let name_at = memory.room(name.len());
    memory.set(name_at, name.as_bytes());
    let locate = format!(
        "(loop $again
      (call $open (i32.const {name_at}) (i32.const {}) (i32.const 0) (i32.const 2048))
      (br $again)) (unreachable)",
        name.len()
    );
    storage_module_with(
        r#"(import "opendepot:host/secrets@0.1.0" "open" (func $open (param i32 i32 i32 i32)))"#,
        &memory,
        &locate,
        "(unreachable)",
    )
}

/// A storage plugin whose `locate` does what it must not with a secret's handle.
pub(crate) fn storage_mishandling(name: &str, misdeed: &str) -> Vec<u8> {
    let mut memory = Memory::new();
    let name_at = memory.room(name.len());
    memory.set(name_at, name.as_bytes());
    let locate = format!(
        "(call $open (i32.const {name_at}) (i32.const {}) (i32.const 0) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then (unreachable)))
    {misdeed} (unreachable)",
        name.len()
    );
    storage_module_with(
        r#"(import "opendepot:host/secrets@0.1.0" "open" (func $open (param i32 i32 i32 i32)))
  (import "opendepot:host/secrets@0.1.0" "[method]secret.mac-sha256"
    (func $mac (param i32 i32 i32 i32)))
  (import "opendepot:host/secrets@0.1.0" "[resource-drop]secret" (func $drop (param i32)))"#,
        &memory,
        &locate,
        "(unreachable)",
    )
}

/// A storage plugin that answers `locate` with `other` and a text of that many bytes.
pub(crate) fn storage_lamenting(num_bytes: usize) -> Vec<u8> {
    let memory = Memory::new();
    // `err` at 2048, `other` (4) at 2052, then the text: zeros are a text as well.
    let locate = format!(
        "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store8 (i32.const 2052) (i32.const 4))
    (i32.store (i32.const 2056) (call $alloc (i32.const {num_bytes})))
    (memory.fill (i32.load (i32.const 2056)) (i32.const 0x1b) (i32.const {num_bytes}))
    (i32.store (i32.const 2060) (i32.const {num_bytes})) (i32.const 2048)"
    );
    storage_module(&memory, &locate, "(unreachable)")
}

/// A storage plugin that sends one request and answers `locate` with what came of it: key
/// `answered` or the case of the error, `denied`, `timeout`, ….
pub(crate) fn storage_sending(url: &str, secret: Option<&str>) -> Vec<u8> {
    let mut memory = Memory::new();
    let keys = [
        "answered",
        "denied",
        "timeout",
        "too-large",
        "unreachable",
        "other",
    ];
    let answers: Vec<usize> = keys
        .iter()
        .map(|key| {
            let at = memory.room(48);
            write_place(&mut memory, at + 4, &place("file:///", key));
            at
        })
        .collect();
    let at = memory.room(64);
    memory.string(at, "GET");
    memory.string(at + 8, url);
    let headers = memory.list(at + 16, 28, usize::from(secret.is_some()));
    if let Some(secret) = secret {
        memory.string(headers, "Authorization");
        memory.set(headers + 8, &[1]);
        memory.string(headers + 12, "Bearer ");
        memory.string(headers + 20, secret);
    }
    let mut locate = format!(
        "(call $send
      (i32.load (i32.const {at})) (i32.load offset=4 (i32.const {at}))
      (i32.load offset=8 (i32.const {at})) (i32.load offset=12 (i32.const {at}))
      (i32.load offset=16 (i32.const {at})) (i32.load offset=20 (i32.const {at}))
      (i32.const 0) (i32.const 0) (i32.const 2048))
    (if (i32.eqz (i32.load8_u (i32.const 2048))) (then (return (i32.const {}))))",
        answers[0]
    );
    for (case, answer) in answers[1..].iter().enumerate() {
        locate.push_str(&format!(
            "(if (i32.eq (i32.load8_u (i32.const 2052)) (i32.const {case}))
      (then (return (i32.const {answer}))))"
        ));
    }
    locate.push_str("(unreachable)");
    storage_module_with(
        r#"(import "opendepot:host/http@0.1.0" "send"
    (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
        &memory,
        &locate,
        "(unreachable)",
    )
}

fn storage_module(memory: &Memory, locate: &str, plan: &str) -> Vec<u8> {
    storage_module_with("", memory, locate, plan)
}

fn storage_module_with(imports: &str, memory: &Memory, locate: &str, plan: &str) -> Vec<u8> {
    let core = module(
        &format!("{imports} {MEMORY}"),
        &format!(
            r#"
  {data}
  (func (export "opendepot:storage/backend@0.1.0#validate")
    (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "opendepot:storage/backend@0.1.0#locate") (param i32) (result i32) {locate})
  (func (export "opendepot:storage/backend@0.1.0#plan") (param i32) (result i32) {plan})"#,
            data = memory.data()
        ),
    );
    component("storage", &core)
}

/// A judgement: finding, severity, reason to suppress.
pub(crate) type Judgement = (u32, Option<u8>, Option<&'static str>);

/// A scan plugin with a fixed answer. `verdict`: 0 publish, 1 block, 2 abstain.
pub(crate) fn scan(judgements: &[Judgement], verdict: u8) -> Vec<u8> {
    scan_after(judgements, verdict, "")
}

/// As [`scan`], with code before the answer; argument 0 points at the arguments.
pub(crate) fn scan_after(judgements: &[Judgement], verdict: u8, before: &str) -> Vec<u8> {
    let mut memory = Memory::new();
    let at = memory.room(32);
    let list = memory.list(at + 4, 20, judgements.len());
    for (index, (finding, severity, suppressed)) in judgements.iter().enumerate() {
        let at = list + 20 * index;
        memory.u32(at, *finding as usize);
        if let Some(severity) = severity {
            memory.set(at + 4, &[1, *severity]);
        }
        if let Some(reason) = suppressed {
            memory.set(at + 8, &[1]);
            memory.string(at + 12, reason);
        }
    }
    memory.set(at + 12, &[verdict]);
    memory.string(at + 16, "too bad");
    let core = module(
        MEMORY,
        &format!(
            r#"
  {data}
  (func (export "opendepot:scan/post-processor@0.1.0#validate") (param i32 i32) (result i32)
    (i32.const 1024))
  (func (export "opendepot:scan/post-processor@0.1.0#process") (param i32) (result i32)
    {before} (i32.const {at}))"#,
            data = memory.data()
        ),
    );
    component("scan", &core)
}
