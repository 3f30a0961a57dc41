//! The peer: nginx, serving the same bytes from files.

use super::subject::free_port;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running nginx; killed when dropped.
pub(super) struct Nginx {
    child: Child,
    sendfile: u16,
    buffers: u16,
}

impl Nginx {
    /// Starts it on a folder, in its two configurations that were the fastest: `sendfile on`, and
    /// off with large output buffers; both with keep-alive and the open file cache.
    pub(super) fn start(program: &Path, dir: &Path, root: &Path) -> Result<Self> {
        let (sendfile, buffers) = (free_port()?, free_port()?);
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(dir, root, sendfile, buffers))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(dir.join("nginx-error.log"))
            .arg("-p")
            .arg(dir)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start nginx")?;
        let mut nginx = Self {
            child,
            sendfile,
            buffers,
        };
        nginx.wait(dir)?;
        Ok(nginx)
    }

    fn wait(&mut self, dir: &Path) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.buffers)).is_err() {
            if self.child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(10) {
                let said = fs::read_to_string(dir.join("nginx-error.log")).unwrap_or_default();
                bail!("nginx does not listen: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The URL of a file in the configuration for small answers and for sendfile.
    pub(super) fn sendfile_url(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/{file}", self.sendfile)
    }

    /// The URL of a file in the configuration with output buffers.
    pub(super) fn buffers_url(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/{file}", self.buffers)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM lets the master end its workers; SIGKILL would leave them.
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _reaped = self.child.wait();
    }
}

fn configuration(dir: &Path, root: &Path, sendfile: u16, buffers: u16) -> String {
    let (dir, root) = (dir.display(), root.display());
    // As root the workers would be another user, who cannot read a temporary folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes auto;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
  open_file_cache max=1000 inactive=60s;
  open_file_cache_valid 60s;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{sendfile};
    root {root};
    sendfile on;
    tcp_nopush on;
  }}
  server {{
    listen 127.0.0.1:{buffers};
    root {root};
    sendfile off;
    output_buffers 4 1m;
  }}
}}
"
    )
}
