//! `cargo xtask boot`: an image in the emulator, from its first start to an update, with power that goes at the worst moments.

mod emulated;
mod home;
mod machine;
mod story;

use crate::image::given::GivenArgs;
use crate::image::{self, Image};
use crate::sprig::Sprig;
use crate::{model, sys};
use anyhow::{Context, Result};
use home::Home;
use machine::Machine;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use story::{Seen, Story};

/// Seconds of a round before power goes.
const CUT: f64 = 5.0;
/// Longest an image may take to come up.
const START: Duration = Duration::from_secs(1200);
/// What the console shows when it has.
const UP: &str = "Multi-User System";

/// Arguments of `cargo xtask boot`.
#[derive(clap::Args)]
pub struct Args {
    /// Board that the emulator is: generic-aarch64, or raspberry-pi-3b from U-Boot on
    #[arg(long, value_name = "NAME", default_value = "generic-aarch64", conflicts_with = "image")]
    board: String,
    /// Image to start, of one of these boards; it stays as it is [default: one with a fleet of its own, whose broker and coordinator
    /// run here]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Cut the power so many seconds into a round, or with --image so many after it came up
    #[arg(long, value_name = "SECONDS", default_value_t = CUT)]
    cut_power: f64,
    /// And then update it, with the power cut in each state of the update
    #[arg(long, conflicts_with = "image")]
    update: bool,
    /// Keep the console there [default: boot/console.log in the target folder]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print what was seen as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What was seen of a board's story.
#[derive(Serialize)]
pub struct Told {
    image: Image,
    pub seen: Vec<Seen>,
    console: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let cut = Duration::try_from_secs_f64(args.cut_power).context("--cut-power takes seconds, 0 or more")?;
    match &args.image {
        Some(image) => comes_up_twice(image, cut, &log(args)?),
        None => {
            let told = tell(args)?;
            if args.json {
                println!("{}", serde_json::to_string(&told)?);
            }
            Ok(())
        }
    }
}

/// The whole story of a board of this name, or up to its update.
pub fn check(board: &str, update: bool) -> Result<Told> {
    let board = board.to_owned();
    tell(&Args { board, image: None, cut_power: CUT, update, log: None, json: false })
}

/// Makes an image, starts it, and goes through its story.
fn tell(args: &Args) -> Result<Told> {
    let console = log(args)?;
    let work = tempfile::tempdir_in(folder()?)?;
    let key = Machine::key(work.path())?;
    let sprig = Sprig::build()?;
    let model = model::fetch("smollm2")?.path;
    let mut home = Home::new(sprig, &model, work.path())?;
    let begun = Instant::now();
    let (image, bundle) = images(&home, &model, &key, args)?;
    let mut board = Machine::with(&image.path, work.path())?;
    let mut story = Story::new(&mut home, &mut board, (&args.board, begun));
    let told =
        story.first_round().and_then(|()| story.cut_in_a_round(Duration::from_secs_f64(args.cut_power)));
    let told = told.and_then(|()| bundle.as_deref().map_or(Ok(()), |bundle| story.update(bundle)));
    let seen = std::mem::take(&mut story.seen);
    if told.is_err() {
        tell_why(&board, &home);
    }
    keep(&board, &console)?;
    told?;
    Ok(Told { image, seen, console })
}

/// Where images and consoles are kept.
fn folder() -> Result<PathBuf> {
    let folder = sys::target_dir().join("boot");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn log(args: &Args) -> Result<PathBuf> {
    Ok(args.log.clone().unwrap_or(folder()?.join("console.log")))
}

/// An image of the fleet's board, and where it is wanted an update of another version.
fn images(home: &Home, model: &Path, key: &Path, asked: &Args) -> Result<(Image, Option<PathBuf>)> {
    let folder = folder()?;
    let args = |suffix: &str, name: &str| image::Args {
        board: asked.board.clone(),
        suffix: suffix.to_owned(),
        out: Some(folder.join(format!("{}{name}", asked.board))),
        ..image::Args::default()
    };
    let first = Image::make(&image::Args {
        given: GivenArgs {
            fleet: Some(home.bundle()),
            model: Some(model.to_owned()),
            data: Some(home.records()),
        },
        ssh: Some(key.to_owned()),
        ..args("", ".img")
    })?;
    if !asked.update {
        return Ok((first, None));
    }
    let next = Image::make(&image::Args { sign: Some(home.fleet.clone()), ..args("+2", "-next.img") })?;
    Ok((first, next.update))
}

/// What board and broker say of themselves, where the story ended badly.
fn tell_why(board: &Machine, home: &Home) {
    let journal =
        "journalctl --no-pager --boot --output=cat --unit='sprig-*' --unit='systemd-networkd*' | tail -n 30";
    match board.asks(journal, Duration::from_secs(30)) {
        Ok(said) => eprintln!("boot: the board says\n{said}"),
        Err(problem) => eprintln!("boot: the board is not to be asked: {problem:#}"),
    }
    let log = fs::read_to_string(home.fleet.join("broker/mosquitto.log")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(10).collect();
    eprintln!("boot: the broker says\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

/// An image of somebody's: it comes up, loses its power, and comes up again.
fn comes_up_twice(image: &Path, cut: Duration, console: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(folder()?)?;
    let mut board = Machine::with(image, work.path())?;
    let mut come = || -> Result<()> {
        for time in ["came up", "came up again after its power was cut"] {
            let begun = Instant::now();
            board.start()?;
            board.shows(UP, 1, START)?;
            eprintln!("boot: {time}, in {:.0} s", begun.elapsed().as_secs_f64());
            thread::sleep(cut);
            board.cut()?;
        }
        Ok(())
    };
    let came = come();
    keep(&board, console)?;
    came
}

/// Keeps the console.
fn keep(board: &Machine, log: &Path) -> Result<()> {
    sys::install_file(&board.console(), log)?;
    eprintln!("boot: the console is in {}", log.display());
    Ok(())
}
