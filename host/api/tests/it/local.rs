//! Default anonymity covers requests made directly to this machine, and nothing else.

use crate::support::{Mode, NETWORK, Setup, run};
use axum::body::Body;
use http::{Method, Request};

const DISCOVERY: &str = "/.well-known/terraform.json";

#[test]
fn requests_for_this_machine_are_answered() {
    run(async |pool| {
        let world = Setup::new(Mode::LocalOnly).start(&pool).await;
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "127.8.9.1",
            "LocalHost",
        ] {
            let answer = world.send(Method::GET, NETWORK, &[("host", host)]).await;
            assert_eq!(answer.code(), 200, "{host}");
        }
    });
}

#[test]
fn foreign_names_and_proxies_are_refused_with_the_remedy_and_discovery_passes() {
    run(async |pool| {
        let world = Setup::new(Mode::LocalOnly).start(&pool).await;
        let local = ("host", "127.0.0.1:8080");
        let cases: &[&[(&str, &str)]] = &[
            &[("host", "registry.example")],
            &[("host", "localhost.example:8080")],
            &[("host", "127.0.0.1.example")],
            &[("host", "10.0.0.7:8080")],
            &[("host", "[2001:db8::1]:8080")],
            &[("host", "0.0.0.0:8080")],
            &[local, ("host", "registry.example")],
            &[local, ("x-forwarded-for", "10.0.0.7")],
            &[local, ("x-forwarded-host", "registry.example")],
            &[local, ("x-forwarded-proto", "https")],
            &[local, ("x-forwarded-prefix", "/x")],
            &[local, ("x-forwarded", "for=10.0.0.7")],
            &[local, ("x-real-ip", "10.0.0.7")],
            &[local, ("forwarded", "for=10.0.0.7")],
            &[local, ("via", "1.1 proxy")],
        ];
        for headers in cases {
            for target in [
                NETWORK,
                "/opendepot/modules/v1/team/network/aws/versions",
                "/nothing",
            ] {
                let answer = world.send(Method::GET, target, headers).await;
                answer.assert_error(403, &format!("{target} {headers:?}"));
                let text = answer.json().to_string();
                assert!(
                    text.contains("--anonymous-auth") && text.contains("token"),
                    "{text}"
                );
            }
            let answer = world.send(Method::GET, DISCOVERY, headers).await;
            assert_eq!(answer.code(), 200, "{headers:?}");
        }
    });
}

#[test]
fn what_is_no_host_at_all_is_bad_grammar() {
    run(async |pool| {
        let world = Setup::new(Mode::LocalOnly).start(&pool).await;
        for host in [None, Some(""), Some("a b"), Some("user@localhost")] {
            let answer = world.send_exactly(to(host.as_slice(), NETWORK)).await;
            answer.assert_error(400, &format!("{host:?}"));
            let answer = world.send_exactly(to(host.as_slice(), DISCOVERY)).await;
            assert_eq!(answer.code(), 200, "{host:?}");
        }
    });
}

fn to(hosts: &[&str], target: &str) -> Request<Body> {
    let mut request = Request::get(target);
    for host in hosts {
        request = request.header("host", *host);
    }
    request.body(Body::empty()).unwrap()
}

#[test]
fn other_modes_want_one_host_of_whatever_name() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let absolute = format!("http://depot.example{NETWORK}");
        for (hosts, target, code) in [
            (&["depot.example"][..], NETWORK, 200),
            (&["depot.example"], &absolute, 200),
            (&[], &absolute, 200),
            (&[], NETWORK, 400),
            (&[""], NETWORK, 400),
            (&["a b"], NETWORK, 400),
            (&["user@depot.example"], NETWORK, 400),
            (&["depot.example", "depot.example"], NETWORK, 400),
            (&["depot.example", "other.example"], NETWORK, 400),
            (&["depot.example", "other.example"], &absolute, 400),
        ] {
            let answer = world.send_exactly(to(hosts, target)).await;
            assert_eq!(answer.code(), code, "{hosts:?} {target}");
            let answer = world.send_exactly(to(hosts, DISCOVERY)).await;
            assert_eq!(answer.code(), 200, "discovery for {hosts:?}");
        }
        // Clients of HTTP/1.0 have no need to name one.
        let mut request = to(&[], NETWORK);
        *request.version_mut() = http::Version::HTTP_10;
        assert_eq!(world.send_exactly(request).await.code(), 200);
    });
}

#[test]
fn other_modes_do_not_mind_proxies_and_believe_nothing_of_them() {
    run(async |pool| {
        let mut setup = Setup::new(Mode::Anonymous);
        setup.base_url = "https://depot.example".to_owned();
        let world = setup.start(&pool).await;
        let headers = [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "host=evil.example"),
        ];
        let target = "/opendepot/modules/v1/team/network/aws/1.1.0/download";
        let answer = world.send(Method::GET, target, &headers).await;
        let location = answer.header("x-terraform-get");
        assert!(
            location.starts_with("https://depot.example/opendepot/"),
            "{location}"
        );
        let target = "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64";
        let answer = world.send(Method::GET, target, &headers).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("evil"));
    });
}
