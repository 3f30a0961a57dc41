//! Slow, idle and vanishing clients, keep-alive, shutdown (H14, H16, reliability.md section 2).

use crate::facts::module_version;
use crate::socket::{Running, Wire, num_answers};
use crate::support::{Mode, NETWORK, Setup, World, run, until};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const LIST: &str = "/opendepot/modules/v1/team/network/aws/versions";
const BIG: &str = "/opendepot/modules/v1/download/plugin/storage-fs/network/network-5.0.0.zip";
const BIG_BYTES: usize = 24 << 20;
const GRACE: Duration = Duration::from_secs(20);

async fn world(pool: &Arc<Runtime>, edit: impl FnOnce(&mut opendepot_api::Limits)) -> World {
    let mut setup = Setup::new(Mode::Anonymous);
    edit(&mut setup.limits);
    setup.start(pool).await
}

/// A world with an archive that no socket buffer swallows.
async fn world_with_big(
    pool: &Arc<Runtime>,
    edit: impl FnOnce(&mut opendepot_api::Limits),
) -> World {
    let world = world(pool, edit).await;
    let bytes: Vec<u8> = (0..BIG_BYTES).map(|index| (index % 251) as u8).collect();
    let version = module_version(
        &world.root,
        "network",
        "5.0.0",
        "zip",
        &bytes,
        "plugin/storage-fs",
    );
    world
        .change(|facts| facts.versions.push(Arc::new(version)))
        .await;
    world
}

#[test]
fn a_connection_is_kept_for_one_request_after_another() {
    run(async |pool| {
        let world = world(&pool, |_| {}).await;
        let running = Running::start(&world, GRACE).await;
        let mut wire = running.connect().await;
        for _ in 0..20 {
            wire.get(LIST).await;
            let (head, body) = wire.answer().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(body.starts_with(b"{\"modules\""));
        }
        // Several at once are answered in order.
        wire.get(LIST).await;
        wire.get(NETWORK).await;
        wire.get("/nothing").await;
        assert!(wire.answer().await.0.starts_with("HTTP/1.1 200"));
        assert_eq!(wire.answer().await.1, world.bytes);
        assert!(wire.answer().await.0.starts_with("HTTP/1.1 404"));
    });
}

#[test]
fn a_head_that_never_ends_is_cut() {
    run(async |pool| {
        let world = world(&pool, |limits| {
            limits.header_read_seconds = 1;
            limits.idle_seconds = 60;
        })
        .await;
        let running = Running::start(&world, GRACE).await;
        for begun in ["G", "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "] {
            let started = Instant::now();
            let mut wire = running.connect().await;
            wire.send(begun.as_bytes()).await;
            let answer = wire.until_closed().await;
            assert_eq!(num_answers(&answer), 0, "{begun:?}");
            let took = started.elapsed();
            assert!(
                took >= Duration::from_millis(900) && took < Duration::from_secs(10),
                "{took:?}"
            );
        }
    });
}

#[test]
fn a_head_that_trickles_in_is_cut_all_the_same() {
    run(async |pool| {
        let world = world(&pool, |limits| {
            limits.header_read_seconds = 1;
            limits.idle_seconds = 60;
        })
        .await;
        let running = Running::start(&world, GRACE).await;
        let mut wire = running.connect().await;
        // The first request is good, so that the second head is one on a kept connection.
        wire.get(LIST).await;
        wire.answer().await;
        let (mut read, mut write) = wire.0.into_split();
        let trickle = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(50));
            for byte in "GET / HTTP/1.1\r\nX-Long: "
                .bytes()
                .chain(std::iter::repeat(b'a'))
            {
                every.tick().await;
                if write.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        let started = Instant::now();
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut rest)).await;
        trickle.abort();
        assert!(closed.is_ok(), "the trickle was not cut");
        assert!(started.elapsed() >= Duration::from_millis(900));
        assert!(rest.is_empty());
    });
}

#[test]
fn an_idle_connection_is_closed_and_not_before_its_time() {
    run(async |pool| {
        let world = world(&pool, |limits| {
            limits.header_read_seconds = 1;
            limits.idle_seconds = 2;
        })
        .await;
        let running = Running::start(&world, GRACE).await;
        // One that never says a word, and one that has been answered.
        let mut silent = running.connect().await;
        let mut answered = running.connect().await;
        answered.get(LIST).await;
        answered.answer().await;
        for (name, wire) in [("silent", &mut silent), ("answered", &mut answered)] {
            let started = Instant::now();
            assert!(wire.until_closed().await.is_empty(), "{name}");
            assert!(started.elapsed() < Duration::from_secs(10));
        }
        let started = Instant::now();
        let mut wire = running.connect().await;
        wire.get(LIST).await;
        wire.answer().await;
        wire.until_closed().await;
        // Idle time is not the time of a head.
        assert!(
            started.elapsed() >= Duration::from_millis(1_900),
            "{:?}",
            started.elapsed()
        );
    });
}

#[test]
fn a_client_that_stops_reading_is_cut_and_its_permit_is_free_again() {
    run(async |pool| {
        let world = world_with_big(&pool, |limits| {
            limits.progress_bytes_per_second = 64 * 1024;
            limits.progress_window_seconds = 1;
            limits.num_downloads = 1;
        })
        .await;
        let running = Running::start(&world, GRACE).await;
        let mut wire = running.connect_narrow().await;
        wire.get(BIG).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
        until("the permit to be taken", || {
            world.state.num_active_downloads() == 1
        })
        .await;
        let started = Instant::now();
        until("the permit to come back", || {
            world.state.num_active_downloads() == 0
        })
        .await;
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{:?}",
            started.elapsed()
        );
        assert!(
            wire.until_closed().await.len() < BIG_BYTES,
            "a cut body never looks whole"
        );
        until("no request in flight", || {
            world.state.num_active_metadata() == 0
        })
        .await;
    });
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_cut() {
    run(async |pool| {
        let world = world_with_big(&pool, |limits| {
            limits.progress_bytes_per_second = 1_024;
            limits.progress_window_seconds = 1;
            limits.idle_seconds = 1;
            limits.header_read_seconds = 1;
        })
        .await;
        let running = Running::start(&world, GRACE).await;
        let mut wire = running.connect_narrow().await;
        wire.get(BIG).await;
        wire.head().await;
        let mut left = BIG_BYTES;
        let mut buffer = vec![0; 1 << 20];
        let mut every = tokio::time::interval(Duration::from_millis(150));
        while left > 0 {
            every.tick().await;
            let take = left.min(buffer.len());
            let read = tokio::time::timeout(GRACE, wire.0.read_exact(&mut buffer[..take]))
                .await
                .unwrap();
            read.unwrap_or_else(|error| panic!("cut with {left} bytes left: {error}"));
            left -= take;
        }
    });
}

#[test]
fn a_slow_source_does_not_cut_a_quick_client() {
    run(async |_| {
        // A burst that fills the socket, a pause of the source, another burst.
        let body = || {
            let (sender, receiver) = tokio::sync::mpsc::channel::<usize>(1);
            tokio::spawn(async move {
                for _ in 0..3 {
                    if sender.send(8 << 20).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                }
            });
            axum::body::Body::new(Bursts(receiver))
        };
        let router = axum::Router::new().route(
            "/",
            axum::routing::get(async move || axum::response::Response::new(body())),
        );
        let limits = opendepot_api::Limits {
            progress_bytes_per_second: 16 << 20,
            progress_window_seconds: 1,
            ..opendepot_api::Limits::default()
        };
        let running = Running::serve(router, limits, GRACE).await;
        let mut wire = running.connect().await;
        wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        let answer = wire.until_closed().await;
        assert!(answer.len() > 24 << 20, "cut after {} bytes", answer.len());
    });
}

/// Frames of the sizes that come in.
struct Bursts(tokio::sync::mpsc::Receiver<usize>);

impl http_body::Body for Bursts {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|size| size.map(|size| Ok(http_body::Frame::data(vec![7; size].into()))))
    }
}

#[test]
fn clients_that_vanish_give_everything_back() {
    run(async |pool| {
        let world = world_with_big(&pool, |limits| limits.num_downloads = 64).await;
        let running = Running::start(&world, GRACE).await;
        let mut wires = Vec::new();
        for _ in 0..40 {
            let mut wire = running.connect_narrow().await;
            wire.get(BIG).await;
            wire.head().await;
            wires.push(wire);
        }
        until("forty permits", || world.state.num_active_downloads() == 40).await;
        drop(wires);
        let started = Instant::now();
        until("every permit", || world.state.num_active_downloads() == 0).await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        until("no request", || world.state.num_active_metadata() == 0).await;
    });
}

#[test]
fn shutdown_lets_a_download_end_and_takes_no_new_connection() {
    run(async |pool| {
        let world = world_with_big(&pool, |_| {}).await;
        let mut running = Running::start(&world, GRACE).await;
        let mut idle = running.connect().await;
        idle.get(LIST).await;
        idle.answer().await;
        let mut wire = running.connect_narrow().await;
        wire.get(BIG).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
        running.stop();
        assert!(
            idle.until_closed().await.is_empty(),
            "an idle connection is let go"
        );
        let address = running.address;
        let refused = async {
            while let Ok(stream) = TcpStream::connect(address).await {
                // Accepted by the kernel before the listener went: closed without an answer.
                Wire(stream).until_closed().await;
            }
        };
        tokio::time::timeout(GRACE, refused)
            .await
            .expect("new connections are still taken");
        let mut body = vec![0; BIG_BYTES];
        wire.0.read_exact(&mut body).await.unwrap();
        assert!(
            body.iter()
                .enumerate()
                .all(|(index, byte)| *byte == (index % 251) as u8)
        );
        assert!(
            wire.until_closed().await.is_empty(),
            "the connection ends with its answer"
        );
        assert!(running.ended().await, "everything ended by itself");
    });
}

#[test]
fn shutdown_does_not_wait_longer_than_its_grace() {
    run(async |pool| {
        let world = world_with_big(&pool, |_| {}).await;
        let mut running = Running::start(&world, Duration::from_millis(300)).await;
        let mut wire = running.connect_narrow().await;
        wire.get(BIG).await;
        wire.head().await;
        running.stop();
        let started = Instant::now();
        assert!(
            !running.ended().await,
            "it has to say that something was left"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn more_connections_than_allowed_wait_for_one_to_end() {
    run(async |pool| {
        let world = world(&pool, |limits| limits.num_connections = 1).await;
        let running = Running::start(&world, GRACE).await;
        let mut first = running.connect().await;
        first.get(LIST).await;
        first.answer().await;
        let mut second = running.connect().await;
        second.get(LIST).await;
        let early = tokio::time::timeout(Duration::from_millis(200), second.0.readable()).await;
        assert!(
            early.is_err(),
            "the second connection is served beside the first"
        );
        drop(first);
        assert!(second.answer().await.0.starts_with("HTTP/1.1 200"));
    });
}

mod h2 {
    //! The same over HTTP/2, where a stream can stall while its connection is lively.

    use super::{BIG, BIG_BYTES, GRACE, LIST, world, world_with_big};
    use crate::socket::Running;
    use crate::support::{run, until};
    use http_body_util::{BodyExt as _, Empty};
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::time::{Duration, Instant};
    use tokio::task::JoinHandle;

    type Sender = http2::SendRequest<Empty<bytes::Bytes>>;

    async fn connect(running: &Running) -> (Sender, JoinHandle<()>) {
        let io = TokioIo::new(running.connect().await.0);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        (sender, tokio::spawn(async { drop(connection.await) }))
    }

    async fn get(sender: &mut Sender, target: &str) -> http::Response<hyper::body::Incoming> {
        let request = http::Request::get(format!("http://localhost{target}"))
            .body(Empty::new())
            .unwrap();
        sender.send_request(request).await.unwrap()
    }

    #[test]
    fn a_whole_body_arrives_beside_others() {
        run(async |pool| {
            let world = world_with_big(&pool, |_| {}).await;
            let running = Running::start(&world, GRACE).await;
            let (mut sender, _connection) = connect(&running).await;
            let big = get(&mut sender, BIG).await;
            let list = get(&mut sender, LIST).await;
            assert!(
                list.into_body()
                    .collect()
                    .await
                    .unwrap()
                    .to_bytes()
                    .starts_with(b"{\"modules\"")
            );
            let bytes = big.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len(), BIG_BYTES);
            assert!(
                bytes
                    .iter()
                    .enumerate()
                    .all(|(index, byte)| *byte == (index % 251) as u8)
            );
        });
    }

    #[test]
    fn a_stream_whose_window_stays_closed_is_cut_however_lively_its_connection() {
        run(async |pool| {
            let world = world_with_big(&pool, |limits| {
                limits.progress_bytes_per_second = 32 * 1024;
                limits.progress_window_seconds = 1;
            })
            .await;
            let running = Running::start(&world, GRACE).await;
            let (mut sender, connection) = connect(&running).await;
            let stalled = get(&mut sender, BIG).await;
            until("its permit", || world.state.num_active_downloads() == 1).await;
            let started = Instant::now();
            while !connection.is_finished() {
                assert!(
                    started.elapsed() < Duration::from_secs(10),
                    "the stalled stream is not cut"
                );
                let request = http::Request::get(format!("http://localhost{LIST}"))
                    .body(Empty::new())
                    .unwrap();
                if let Ok(answer) = sender.send_request(request).await {
                    let _ = answer.into_body().collect().await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            until("the permit to come back", || {
                world.state.num_active_downloads() == 0
            })
            .await;
            assert!(
                stalled.into_body().collect().await.is_err(),
                "a cut body never looks whole"
            );
        });
    }

    #[test]
    fn an_idle_connection_is_closed_although_it_answers_pings() {
        run(async |pool| {
            let world = world(&pool, |limits| limits.idle_seconds = 1).await;
            let running = Running::start(&world, GRACE).await;
            let (mut sender, connection) = connect(&running).await;
            get(&mut sender, LIST)
                .await
                .into_body()
                .collect()
                .await
                .unwrap();
            let started = Instant::now();
            tokio::time::timeout(Duration::from_secs(10), connection)
                .await
                .expect("it is kept")
                .unwrap();
            assert!(started.elapsed() >= Duration::from_millis(900));
        });
    }
}
