//! nginx as a WebDAV server: no stand-in, the real one.

use opendepot_tests::server::free_port;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A WebDAV server at `/dav`; ended when dropped.
pub(crate) struct Nginx {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

/// Who may write and read.
pub(crate) enum Door<'a> {
    /// HTTP basic authentication: the user `depot` with this password.
    Basic(&'a str),
    /// This bearer token.
    Bearer(&'a str),
}

impl Nginx {
    /// Starts it; with `full_put_path` a put makes the collections that it needs.
    pub(crate) fn start(door: &Door<'_>, full_put_path: bool) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("opendepot-nginx-")
            .tempdir()
            .unwrap();
        fs::create_dir_all(dir.path().join("root/dav")).unwrap();
        let port = free_port();
        let mut nginx = Self {
            dir,
            port,
            child: None,
        };
        let guard = match door {
            Door::Basic(password) => {
                nginx.set_password(password);
                let users = nginx.path("users");
                format!("auth_basic x; auth_basic_user_file {};", users.display())
            }
            Door::Bearer(token) => {
                format!("if ($http_authorization != \"Bearer {token}\") {{ return 401; }}")
            }
        };
        let full = if full_put_path { "on" } else { "off" };
        let config = configuration(nginx.dir.path(), port, &guard, full);
        fs::write(nginx.path("nginx.conf"), config).unwrap();
        nginx.resume();
        nginx
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of the store.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/dav", self.host())
    }

    /// Changes the password at once: nginx reads the file with every request.
    pub(crate) fn set_password(&self, password: &str) {
        let text = format!("depot:{{PLAIN}}{password}\n");
        fs::write(self.path("users"), text).unwrap();
    }

    /// Every stored object, relative to the store.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let root = self.path("root/dav");
        let mut folders = vec![root.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Where an object is on disk.
    pub(crate) fn file(&self, object: &Path) -> PathBuf {
        self.path("root/dav").join(object)
    }

    /// Starts it again after [`Self::end`].
    pub(crate) fn resume(&mut self) {
        let program = std::env::var_os("OPENDEPOT_NGINX")
            .map_or_else(|| PathBuf::from("/usr/sbin/nginx"), PathBuf::from);
        let child = Command::new(&program)
            .arg("-c")
            .arg(self.path("nginx.conf"))
            .arg("-e")
            .arg(self.path("error.log"))
            .arg("-p")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "cannot start `{}`: {error}; install Debian's nginx-light",
                program.display()
            )
        });
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let said = fs::read_to_string(self.path("error.log")).unwrap_or_default();
            let is_over = child.try_wait().unwrap().is_some();
            assert!(
                !is_over && start.elapsed() < Duration::from_secs(10),
                "nginx does not listen: {said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child = Some(child);
    }

    /// Ends it: its port is closed when this returns.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGTERM lets the master end its workers; SIGKILL would leave them.
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ended = kill_process(pid, Signal::TERM);
            }
            let _reaped = child.wait();
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

fn configuration(dir: &Path, port: u16, guard: &str, full_put_path: &str) -> String {
    let dir = dir.display();
    // As root the workers would be another user, who cannot use a temporary folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  default_type application/octet-stream;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {dir}/root;
    location /dav/ {{
      {guard}
      dav_methods PUT DELETE MKCOL;
      create_full_put_path {full_put_path};
      client_max_body_size 0;
    }}
  }}
}}
"
    )
}
