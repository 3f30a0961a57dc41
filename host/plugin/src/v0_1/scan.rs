//! The `opendepot:scan@0.1.0` world.

wasmtime::component::bindgen!({
    path: "../../wit/scan@0.1.0",
    world: "opendepot:scan/scan-plugin",
    exports: { default: async },
    imports: { default: trappable },
    with: { "opendepot:host@0.1.0": crate::v0_1::host::opendepot::host },
});
