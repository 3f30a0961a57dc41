//! A storage plugin that is right: it names its object after the file, and plans for what is
//! recorded.

use crate::guests;

/// How it plans.
#[derive(Clone, Copy, Default)]
pub(crate) struct Named {
    /// Code before each plan; argument 0 points at the arguments.
    pub(crate) before_plan: &'static str,
    /// The key follows from the bytes.
    pub(crate) by_digest: bool,
    /// `presign` is `unsupported`.
    pub(crate) without_links: bool,
}

/// The arguments lie as the canonical ABI has them: the artifact's file name at 92 and its digest at
/// 120; in a plan the recorded store at 136, the key at 144 and the case of the operation at 180.
pub(crate) fn named(how: Named) -> Vec<u8> {
    let name_at = if how.by_digest { 120 } else { 92 };
    let last_known = if how.without_links { 4 } else { 5 };
    let before_plan = how.before_plan;
    let core = format!(
        r#"(module
  (memory (export "memory") 8)
  (global $heap (mut i32) (i32.const 262144))
  (data (i32.const 1024) "s3://bucket")
  (data (i32.const 1536) "GET")
  (data (i32.const 1540) "https://store.test/x.zip")
  (data (i32.const 2048) "vpc/")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.and
      (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 7)) (i32.const -8)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $enough (i32.ne (i32.const -1) (memory.grow
        (i32.add (i32.const 1) (i32.shr_u (local.get 3) (i32.const 16))))))
      (unreachable))
    (local.get $at))
  (func (export "opendepot:storage/backend@0.1.0#validate")
    (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 512))
  (func (export "opendepot:storage/backend@0.1.0#locate") (param $args i32) (result i32)
    (local $len i32)
    (local.set $len (i32.load offset={name_len_at} (local.get $args)))
    (memory.copy (i32.const 2052) (i32.load offset={name_at} (local.get $args)) (local.get $len))
    (i32.store (i32.const 516) (i32.const 1024))
    (i32.store (i32.const 520) (i32.const 11))
    (i32.store (i32.const 524) (i32.const 2048))
    (i32.store (i32.const 528) (i32.add (i32.const 4) (local.get $len)))
    (i32.const 512))
  (func (export "opendepot:storage/backend@0.1.0#plan") (param $args i32) (result i32)
    (local $operation i32)
    (local.set $operation (i32.load8_u offset=180 (local.get $args)))
    {before_plan}
    (if (i32.gt_u (local.get $operation) (i32.const {last_known})) (then
      (i32.store8 (i32.const 512) (i32.const 1))
      (i32.store8 (i32.const 520) (i32.const 1))
      (return (i32.const 512))))
    (if (i32.eqz (local.get $operation)) (then
      (i32.store8 (i32.const 520) (i32.const 2))
      (return (i32.const 512))))
    (memory.copy (i32.const 528) (i32.add (local.get $args) (i32.const 136)) (i32.const 16))
    (i32.const 512))
)"#,
        name_len_at = name_at + 4,
    );
    guests::component("storage", &core)
}
