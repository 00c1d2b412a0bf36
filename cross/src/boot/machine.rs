//! A board in the emulator: a card, a network to this machine, a console that is kept, and power that can be cut.

use super::emulated::Emulated;
use crate::{packages, sys};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// This machine, as the board sees it.
pub const HOST: &str = "10.0.2.2";
/// Size of the card: larger than the image, as cards are.
const CARD: &str = "4G";
/// Most bytes of the console that are looked through at once.
const MOST: u64 = 8 << 20;

/// A board.
pub struct Machine {
    /// Its card and console, and what it starts from.
    folder: PathBuf,
    emulated: Emulated,
    process: Option<Child>,
    ssh: u16,
    /// Bytes of the console before this start.
    begun: u64,
}

impl Machine {
    /// A board with a card that the image was written to, in an empty folder. The image stays as it is.
    pub fn with(image: &Path, folder: &Path) -> Result<Self> {
        let tool = packages::find_or_install("qemu-img", "qemu-utils")?;
        let image = fs::canonicalize(image).with_context(|| format!("no image {}", image.display()))?;
        let emulated = Emulated::of(&image, folder)?;
        let mut card = sys::command(tool, true);
        card.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image);
        sys::check(card.arg(folder.join("card.qcow2")).arg(CARD))?;
        emulated.prepare(&folder.join("card.qcow2"))?;
        let ssh =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("no free port")?.port();
        Ok(Self { folder: folder.to_owned(), emulated, process: None, ssh, begun: 0 })
    }

    /// Where its console is kept, over all its starts.
    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// Gives it power.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the board runs already");
        self.begun = fs::metadata(self.console()).map_or(0, |found| found.len());
        let mut emulator = self.emulated.with(&self.folder.join("card.qcow2"), self.ssh);
        let console = self.console().display().to_string();
        emulator.args(["-chardev", &format!("file,id=console,append=on,path={console}")]);
        emulator.args(["-serial", "chardev:console"]);
        self.process = Some(emulator.spawn().context("cannot start qemu-system-aarch64")?);
        Ok(())
    }

    /// Takes its power away: whatever the board had not brought to its card is lost.
    pub fn cut(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// What the console showed since the board was last given power.
    pub fn shown(&self) -> Result<String> {
        let mut file = File::open(self.console())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.begun.max(length.saturating_sub(MOST))))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until the console has shown `text` so many `times` since the last start.
    pub fn shows(&mut self, text: &str, times: usize, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while self.shown().unwrap_or_default().matches(text).count() < times {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten())
            {
                bail!("the emulator ended: {status}; see {}", self.console().display());
            }
            if Instant::now() > until {
                let shown = self.shown().unwrap_or_default();
                let last = shown.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                bail!(
                    "no `{text}` on the console in {limit:?}; its last line: {last}; see {}",
                    self.console().display()
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// What a command on the board prints, by SSH with the key of this folder; waited for until the board lets us in.
    pub fn asks(&self, command: &str, limit: Duration) -> Result<String> {
        let until = Instant::now() + limit;
        loop {
            match sys::output(self.ssh("ssh", "-p").args(["root@127.0.0.1", command])) {
                Ok(said) => return Ok(said),
                // 255 is of SSH itself: not there yet.
                Err(e) if e.to_string().contains("exit status: 255") && Instant::now() < until => {
                    thread::sleep(Duration::from_secs(2));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Starts a command on the board and does not wait for it.
    pub fn tells(&self, command: &str) -> Result<Child> {
        let mut ssh = self.ssh("ssh", "-p");
        ssh.args(["root@127.0.0.1", command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        ssh.spawn().context("cannot start ssh")
    }

    /// Copies a file to the board, onto its card.
    pub fn gives(&self, file: &Path, to: &str) -> Result<()> {
        sys::output(self.ssh("scp", "-P").arg(file).arg(format!("root@127.0.0.1:{to}")))?;
        sys::output(self.ssh("ssh", "-p").args(["root@127.0.0.1", "sync"])).map(drop)
    }

    /// A key to log in with, made in its folder; the public part.
    pub fn key(folder: &Path) -> Result<PathBuf> {
        packages::find_or_install("ssh-keygen", "openssh-client")?;
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join("key"));
        sys::output(&mut make)?;
        Ok(folder.join("key.pub"))
    }

    fn ssh(&self, program: &str, port: &str) -> Command {
        let mut ssh = Command::new(program);
        ssh.args([port, &self.ssh.to_string(), "-i"]).arg(self.folder.join("key"));
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=20",
        ] {
            ssh.args(["-o", option]);
        }
        ssh
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.cut();
    }
}
