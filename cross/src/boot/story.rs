//! What happens to a board: its first start, a round, power that goes in the middle of one, and an update that is cut off in
//! each of its states.

use super::home::{BOARD, Home};
use super::machine::Machine;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Longest a board may take to start, in an emulator on a busy machine.
const START: Duration = Duration::from_secs(1200);
/// Longest the dashboard may take to show what the coordinator said.
const SHOWN: Duration = Duration::from_secs(10);
/// Longest a round may take.
const ROUND: Duration = Duration::from_secs(900);
/// What RAUC is at.
const PROGRESS: &str = "busctl get-property de.pengutronix.rauc / de.pengutronix.rauc.Installer Progress";
/// What the console shows as the health of a system on trial is looked at.
const CHECKING: &str = "sprig: system b is on trial";
/// Prints milliseconds from a command to the end of its first step, everything it reads being on the card alone.
const FIRST_STEP: &str = "cd /var/lib/sprig/agent && sync && echo 3 > /proc/sys/vm/drop_caches && from=$(date +%s%N) && \
                          sprig train --model model.gguf --task label --data train.jsonl --estimator forward --steps 1 \
                          --batch 2 --len 48 --budget 200MiB --out /tmp/first.gguf --json > /tmp/first.json && \
                          echo $((($(date +%s%N) - from) / 1000000))";
/// Seconds for which a system on trial is looked at here.
const TRIAL: u32 = 40;

/// Something that was seen to be so.
#[derive(Debug, Serialize)]
pub struct Seen {
    pub what: String,
    /// Since the story began.
    pub seconds: f64,
}

/// A board with its fleet.
pub struct Story<'a> {
    pub home: &'a mut Home,
    pub board: &'a mut Machine,
    /// What the board has to find that it is.
    pub name: &'a str,
    pub seen: Vec<Seen>,
    begun: Instant,
}

impl<'a> Story<'a> {
    /// A story that began when its image was asked for.
    pub fn new(home: &'a mut Home, board: &'a mut Machine, (name, begun): (&'a str, Instant)) -> Self {
        Self { home, board, name, seen: Vec::new(), begun }
    }

    /// The board starts for the first time, joins and ends a round.
    pub fn first_round(&mut self) -> Result<()> {
        self.see("the image is made");
        self.home.open()?;
        self.home.coordinate()?;
        let dashboard = self.home.hears("dashboard", START)?;
        let dashboard = dashboard["url"].as_str().context("a dashboard without an address")?;
        self.board.start()?;
        self.see("the board has power");
        let joined = self.home.hears("joined", START)?;
        ensure!(joined["device"] == BOARD, "{joined} joined");
        self.see("joined the fleet");
        let until = Instant::now() + SHOWN;
        while self.home.shown(dashboard)?["devices_online"] != 1 {
            ensure!(Instant::now() < until, "the dashboard shows {}", self.home.shown(dashboard)?);
            thread::sleep(Duration::from_millis(200));
        }
        self.see("the dashboard shows it");
        let round = self.home.hears("round", ROUND)?;
        self.see(&format!("round {} ended", round["round"]));
        let facts = self.ask("sprig device --json")?;
        ensure!(facts.contains(self.name), "sprig device printed {facts}");
        let left = self.ask("mount -o ro /dev/disk/by-partlabel/selector /mnt && ls /mnt && umount /mnt")?;
        ensure!(!left.contains("sprig"), "the first partition still has {left}");
        let free = self.ask("df --output=size -B1M /state | tail -n 1")?;
        let megabytes: u64 = free.trim().parse().context("df told no number")?;
        ensure!(megabytes > 2000, "the state partition has {megabytes} MiB of a card of 4 GiB");
        self.see(&format!("the identity is taken up, the state partition grew to {megabytes} MiB"));
        let limits = self.ask("systemctl show sprig-agent --property=MemoryMax,MemoryCurrent,ActiveState")?;
        ensure!(limits.contains("ActiveState=active") && !limits.contains("=infinity"), "{limits}");
        self.see(&limits.trim().replace('\n', ", "));
        let doctor =
            self.ask("runuser -u sprig -- sprig doctor --config /var/lib/sprig/agent/device.toml")?;
        self.see(&format!("sprig doctor: {}", doctor.trim().replace('\n', "; ")));
        let milliseconds: u64 = self.ask(FIRST_STEP)?.trim().parse().context("no time of a first step")?;
        self.see(&format!(
            "a training of one step took {:.1} s, with nothing in the page cache, beside the agent",
            milliseconds as f64 / 1e3
        ));
        self.card_in_a_round()
    }

    /// What a round writes to the card, whoever writes it.
    fn card_in_a_round(&mut self) -> Result<()> {
        let before = self.written()?;
        // The kernel's own work after a partition grew: it writes the new tables of files, once, when it has time for them.
        while self.ask("grep -lsx ext4lazyinit /proc/[0-9]*/comm || echo done")?.trim() != "done" {
            thread::sleep(Duration::from_secs(5));
        }
        let kib = (self.written()? - before) >> 10;
        self.see(&format!(
            "the grown partition's tables are written ({kib} KiB since then, rounds among them)"
        ));
        self.home.forget();
        self.home.hears("round", ROUND)?;
        let before = (self.written()?, self.written_by_agent()?);
        let round = self.home.hears("round", ROUND)?;
        let own = self.written_by_agent()? - before.1;
        let all = self.written()? - before.0;
        let (own, all) = (own >> 10, all >> 10);
        self.see(&format!(
            "round {}: {all} KiB written to the card, {own} KiB of them the agent's",
            round["round"]
        ));
        Ok(())
    }

    /// Bytes that the agent has written since it started: pages of its files, without the file system's own.
    fn written_by_agent(&mut self) -> Result<u64> {
        let told = self.ask("grep ^write_bytes /proc/$(systemctl show -P MainPID sprig-agent)/io")?;
        let bytes = told.split_whitespace().last().and_then(|n| n.parse().ok());
        bytes.context("the kernel tells of no writes of the agent")
    }

    /// Bytes written to the state partition since the board started.
    fn written(&mut self) -> Result<u64> {
        // Sectors written are the seventh number (Linux, Documentation/block/stat.rst), in units of 512 bytes.
        let name = "$(basename $(readlink -f /dev/disk/by-partlabel/state))";
        let told = self.ask(&format!("sync; cat /sys/class/block/{name}/stat"))?;
        let sectors = told.split_whitespace().nth(6).and_then(|n| n.parse::<u64>().ok());
        Ok(sectors.context("the kernel tells of no writes")? * 512)
    }

    /// Power goes `after` in a round; the board comes back, with the same name for itself, and rounds go on.
    pub fn cut_in_a_round(&mut self, after: Duration) -> Result<()> {
        let machine = self.ask("cat /etc/machine-id")?;
        self.home.forget();
        let opened = self.home.hears("opened", ROUND)?;
        thread::sleep(after);
        self.board.cut()?;
        self.see(&format!("power cut {:.0} s into round {}", after.as_secs_f64(), opened["round"]));
        self.board.start()?;
        self.home.hears("joined", START)?;
        self.see("joined again");
        let round = self.home.hears("round", ROUND)?;
        self.see(&format!("round {} ended", round["round"]));
        let again = self.ask("cat /etc/machine-id")?;
        ensure!(machine == again, "the machine's id was {machine} and is {again}");
        Ok(())
    }

    /// An update is cut off as it is written, as it is first started, as it is looked at and as it is kept, given up because the
    /// board is not healthy with it, and at last kept.
    pub fn update(&mut self, bundle: &Path) -> Result<()> {
        let before = self.system()?;
        ensure!(before.0 == "a", "the board runs system {}", before.0);
        self.ask(&format!("echo {TRIAL} > /state/shared/trial-seconds"))?;
        self.board.gives(bundle, "/state/update.raucb")?;
        self.see("the update is on the board");

        let mut writing = self.board.tells("rauc install /state/update.raucb")?;
        while !self.ask(PROGRESS)?.contains("Copying image to system") {
            ensure!(writing.try_wait()?.is_none(), "the update ended, and was not seen being written");
        }
        self.back_to(&before, "it was written")?;
        writing.wait()?;

        self.ask("rauc install /state/update.raucb")?;
        self.see("the update is written and signed as it should be");
        self.board.tells("systemctl reboot")?.wait()?;
        self.board.shows("Linux version", 2, START)?;
        self.back_to(&before, "it first started")?;

        self.try_it()?;
        self.board.shows(CHECKING, 1, START)?;
        self.back_to(&before, "it was looked at")?;

        self.home.close();
        self.try_it()?;
        self.board.shows("Linux version", 2, START + Duration::from_secs(2 * u64::from(TRIAL)))?;
        self.home.forget();
        self.home.open()?;
        ensure!(self.system()? == before, "a system that reaches no broker was kept");
        // Its session may have outlived the broker, so that nobody says it joined.
        self.home.hears("round", ROUND)?;
        self.see("an update that reaches no broker is given up, and a round ended with the old system");

        self.try_it()?;
        self.board.shows(CHECKING, 1, START)?;
        while !self.kept()? {
            thread::sleep(Duration::from_millis(200));
        }
        self.board.cut()?;
        self.board.start()?;
        let after = self.system()?;
        ensure!(after.0 == "b" && after.1 != before.1, "the board runs {after:?} after {before:?}");
        self.see(&format!(
            "the update is kept, and power that goes then changes nothing: {} after {}",
            after.1, before.1
        ));
        let round = self.home.hears("round", ROUND)?;
        self.see(&format!("round {} ended", round["round"]));
        Ok(())
    }

    /// Power goes, and the board comes back with the system that it had, whole.
    fn back_to(&mut self, before: &(String, String), when: &str) -> Result<()> {
        self.board.cut()?;
        self.board.start()?;
        let now = self.system()?;
        ensure!(now == *before, "the board runs {now:?} and ran {before:?}");
        self.home.forget();
        self.home.hears("round", ROUND)?;
        self.see(&format!("power cut as {when}: the old system runs, and a round ended with it"));
        Ok(())
    }

    /// Has the board start the other system once.
    fn try_it(&mut self) -> Result<()> {
        self.ask("/usr/lib/sprig/boot-slot set-primary b")?;
        self.board.cut()?;
        self.board.start()?;
        Ok(())
    }

    fn kept(&mut self) -> Result<bool> {
        Ok(self.ask("/usr/lib/sprig/boot-slot is-trial || echo kept")?.contains("kept"))
    }

    /// Which system runs, and its version.
    fn system(&mut self) -> Result<(String, String)> {
        let said = self.ask("cat /run/sprig/slot /usr/lib/sprig/version")?;
        let mut words = said.split_whitespace().map(str::to_owned);
        Ok((words.next().context("no slot")?, words.next().context("no version")?))
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.board.asks(command, START).with_context(|| format!("`{command}` on the board"))
    }

    fn see(&mut self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("boot: {seconds:5.0} s  {what}");
        self.seen.push(Seen { what: what.to_owned(), seconds });
    }
}
