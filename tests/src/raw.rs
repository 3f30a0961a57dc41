//! HTTP as bytes, for what no client library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What came back on a connection.
#[derive(Debug)]
pub struct Answer {
    /// Every byte until the end or the deadline.
    pub bytes: Vec<u8>,
    /// Whether the server closed the connection.
    pub is_closed: bool,
}

impl Answer {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The first status code; 0 when there was no answer.
    pub fn status(&self) -> u16 {
        let text = self.text();
        let code = text
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| text.strip_prefix("HTTP/1.0 "));
        code.and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or(0)
    }

    /// How many answers came.
    pub fn num_answers(&self) -> usize {
        self.text().matches("HTTP/1.1 ").count()
    }

    /// The header lines of the first answer, without the status line.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        head.split("\r\n").skip(1).map(pair).collect()
    }

    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers()
            .into_iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// What follows the head of the first answer.
    pub fn body(&self) -> String {
        let text = self.text();
        text.split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default()
    }
}

/// Sends `request` over plain TCP and reads until the server closes or `within` is over. The
/// server may close while we write: that is an answer too.
pub fn exchange(address: SocketAddr, request: &[u8], within: Duration) -> Answer {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, within).expect("a listening server");
    stream.set_write_timeout(Some(within)).unwrap();
    let written = stream.write_all(request);
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let mut is_closed = written.is_err();
    while let Some(left) = within
        .checked_sub(start.elapsed())
        .filter(|left| !left.is_zero())
    {
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut chunk) {
            Ok(0) => {
                is_closed = true;
                break;
            }
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(_) => {
                is_closed = true;
                break;
            }
        }
    }
    Answer { bytes, is_closed }
}

/// A GET of exactly `target`, with `Connection: close`.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes(), Duration::from_secs(10))
}
