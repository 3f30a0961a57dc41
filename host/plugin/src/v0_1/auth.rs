//! The `opendepot:auth@0.1.0` world.

wasmtime::component::bindgen!({
    path: "../../wit/auth@0.1.0",
    world: "opendepot:auth/auth-plugin",
    exports: { default: async },
    imports: { default: trappable },
    with: { "opendepot:host@0.1.0": crate::v0_1::host::opendepot::host },
});
