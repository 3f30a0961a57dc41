//! The `opendepot:storage@0.1.0` world.

wasmtime::component::bindgen!({
    path: "../../wit/storage@0.1.0",
    world: "opendepot:storage/storage-plugin",
    exports: { default: async },
    imports: { default: trappable },
    with: { "opendepot:host@0.1.0": crate::v0_1::host::opendepot::host },
});
