//! The `opendepot:host@0.1.0` interfaces that guests import; the worlds share these types.

wasmtime::component::bindgen!({
    path: "../../wit/host@0.1.0",
    inline: "
        package opendepot:host-imports;
        world imports {
            import opendepot:host/types@0.1.0;
            import opendepot:host/log@0.1.0;
            import opendepot:host/secrets@0.1.0;
            import opendepot:host/http@0.1.0;
        }
    ",
    world: "opendepot:host-imports/imports",
    imports: {
        "opendepot:host/http.send": async | trappable,
        "opendepot:host/secrets.open": async | trappable,
        default: trappable,
    },
    with: { "opendepot:host/secrets.secret": crate::secret::SecretKey },
});

pub(crate) use opendepot::host::{http, log, secrets, types};
