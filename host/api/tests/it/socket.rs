//! The server on a real socket, and a client that speaks raw bytes.

use crate::support::World;
use opendepot_api::server::{Answer, Server};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with its test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<bool>,
}

impl Running {
    pub(crate) async fn start(world: &World, grace: Duration) -> Self {
        Self::serve(world.public.clone(), world.limits.clone(), grace).await
    }

    pub(crate) async fn serve(
        answers: impl Answer,
        limits: opendepot_api::Limits,
        grace: Duration,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server {
            listener,
            answers,
            tls: None,
            limits,
            grace,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = async move {
            let _ = stopped.await;
        };
        Self {
            address,
            stop: Some(stop),
            task: tokio::spawn(server.run(ended)),
        }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client whose kernel takes few bytes for it.
    pub(crate) async fn connect_narrow(&self) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Wire(socket.connect(self.address).await.unwrap())
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Whether everything ended by itself.
    pub(crate) async fn ended(self) -> bool {
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
    }
}

/// A connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends a GET that keeps the connection.
    pub(crate) async fn get(&mut self, target: &str) {
        let text = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.send(text.as_bytes()).await;
    }

    /// Everything until the server closes or resets.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let read = async {
            while let Ok(count) = self.0.read(&mut buffer).await {
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the server does not close");
        all
    }

    /// One answer: its head, and its body by `Content-Length`.
    pub(crate) async fn answer(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length:")
                    .map(|value| value.trim().parse().unwrap())
            })
            .unwrap_or(0);
        let mut body = vec![0; length];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut body))
            .await
            .unwrap()
            .unwrap();
        (head, body)
    }

    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8())
                .await
                .unwrap();
            head.push(byte.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head))
            }));
        }
        String::from_utf8(head).unwrap()
    }
}

/// How many answers `bytes` begins with or contains.
pub(crate) fn num_answers(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).matches("HTTP/1.1 ").count()
}
