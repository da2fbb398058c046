//! Middleboxes as processes.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use tokio::process::Command;

use super::certificates;
use crate::peer::{Folder, Group, free_address};

/// Program with its configuration.
///
/// In arguments and files, `@HOST@` and `@PORT@` are replaced by the address to listen on,
/// `@BEHIND@` and `@BEHIND_PORT@` by the address of the next box or of the server, and `@DIR@` by
/// the folder of the files.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) args: &'static [&'static str],
    /// Name and content of each file.
    pub(super) files: Vec<(&'static str, String)>,
}

/// Running program; stopped when dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) folder: Folder,
    _process: Group,
}

impl Program {
    /// Returns a program with one file, which is named `config`.
    pub(super) fn new(
        path: impl Into<PathBuf>,
        args: &'static [&'static str],
        config: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), args, files: vec![("config", config.into())] }
    }

    /// Adds a file.
    pub(super) fn file(mut self, name: &'static str, content: impl Into<String>) -> Self {
        self.files.push((name, content.into()));
        self
    }

    /// Starts the program on a free port of `host`, and waits until it listens.
    pub(super) async fn start(&self, host: Ipv4Addr, behind: SocketAddr) -> Running {
        let address = free_address(host);
        let folder = Folder::new();
        open_to_all(&folder);
        certificates::write(&folder);
        let filled_in = |text: &str| {
            text.replace("@HOST@", &host.to_string())
                .replace("@PORT@", &address.port().to_string())
                .replace("@BEHIND@", &behind.to_string())
                .replace("@BEHIND_PORT@", &behind.port().to_string())
                .replace("@DIR@", &folder.path().display().to_string())
        };
        for (name, content) in &self.files {
            open_file_to_all(&folder.write(name, &filled_in(content)));
        }
        let log = fs::File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new(&self.path);
        command
            .args(self.args.iter().map(|arg| filled_in(arg)))
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut process = Group::spawn(&mut command);
        if !process.listens(address).await {
            let output = fs::read_to_string(folder.path().join("output")).unwrap();
            panic!("{} does not listen\n{output}", self.path.display());
        }
        Running { address, folder, _process: process }
    }
}

/// Lets the account to which a program changes write here.
fn open_to_all(folder: &Folder) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
}

/// Lets the account to which a program changes read and run the file.
fn open_file_to_all(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
