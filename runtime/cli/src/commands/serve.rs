//! `sprig serve`: answers questions until somebody says stop.

use super::levels;
use crate::args::ServeArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::log::{self, Level, Target};
use crate::outage::Outage;
use crate::output::Output;
use crate::service::{AnswerFigures, Supervisor};
use crate::wardrobe::{self, Wardrobe};
use serde_json::json;
use sprig_budget::{Bytes, process};
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::Asker;
use sprig_learn::sampling::Chooser;
use sprig_learn::workload::Workload;
use sprig_protocol::settings::DeviceSettings;
use sprig_run::Base;
use sprig_serve::http::{self, Address, Behind, Http, Listen};
use sprig_serve::mqtt::{Happened, Mqtt};
use sprig_serve::{Answerer, Desk, Limits, MOST_BYTES, MOST_TOKENS, Model, Outfit, Rate, Told, desk};
use sprig_transport::link::{Link, LinkError};
use sprig_transport::mqtt::connect;
use sprig_transport::token::{Keeper, Token};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What doors, their threads, connections and questions under way take, with room to spare: 32 connections of two buffers of
/// 16 KiB, a question of 64 KiB and an answer with 1,024 probabilities of 110 KiB each come to 6.5 MiB; a question of 64 KiB that
/// is read as JSON and an answer that is written as it to 3 MiB, one at a time; and what a link has.
const DOORS: Bytes = Bytes::mib(11);
/// What 32 encrypted connections take beside that: a record of 16 KiB each way, twice, and a handshake.
const ENCRYPTED: Bytes = Bytes::mib(3);
/// The same of a question that waits: itself, twice while it is read, and the pieces of its answer.
const WAITING: u64 = 2 * MOST_BYTES as u64 + 32 * MOST_TOKENS as u64;
/// What happened at the broker and was not told yet; more is not told.
const MOST_NEWS: usize = 64;

pub fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    log::begin(args.log.asked(), args.model.json);
    let listen = listen(args)?;
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let wardrobe = Wardrobe::open(&args.adapter, &args.personal, &base)?;
    let tokenizer = base.tokenizer()?;
    let context = (args.context as usize).min(base.geometry.context);
    let work = Workload::generation(wardrobe.adapted(&base), context, args.model.means());
    let doors = DOORS + Bytes(WAITING * u64::from(args.queue));
    let chooser = Chooser::bytes(base.geometry.vocabulary);
    let mut held_elsewhere = work.held_elsewhere.clone();
    held_elsewhere.extend([("doors", doors), ("choice of tokens", chooser)]);
    held_elsewhere.extend(args.tls_cert.is_some().then_some(("encrypted connections", ENCRYPTED)));
    let planned = base.plan(Workload { held_elsewhere, ..work }, args.model.budget()?, None)?;
    let engine = base.engine(&planned)?;
    let (adapters, outfits) = wardrobe.load(&engine, context)?;
    // What was trained and judged in f32 is answered so.
    let exact = args.exact || outfits.iter().any(|outfit| outfit.labelling.is_some());
    let worn = adapters.iter().collect();
    let generator = Generator::with_adapters(&engine.model, worn, &engine.ctx, context, !exact)?;
    let wardrobe =
        outfits.iter().map(|outfit| dressed(outfit, &base, &tokenizer)).collect::<Result<_, _>>()?;
    let output = Output::new(args.model.json);
    output.log(Level::Info, Target::Serve, json!({ "event": "plan", "plan": planned.plan }), || {
        Some(planned.plan.brief().to_string())
    });
    let models: Vec<Model> = outfits
        .iter()
        .map(|outfit| Model { name: outfit.name.clone(), labels: outfit.labelling.is_some() })
        .collect();
    let limits = Limits { context, labels: models.iter().any(|model| model.labels) };
    let (desk, seat) = desk(args.queue.into(), models);
    let bytes = (planned.plan.total().0, planned.plan.budget.0);
    let figures = Arc::new(AnswerFigures::new(bytes, desk.refused()));
    let rate = Rate::new(args.rate, Instant::now());
    let behind = Behind { desk, limits, rate, status: figures.clone() };
    let interrupt = Interrupt::listen();
    let doors = Doors::open(args, listen, behind, &output)?;
    let chooser = Chooser::new(base.geometry.vocabulary);
    let mut answerer = Answerer { generator, tokenizer: &tokenizer, chooser, wardrobe, limits };
    let supervisor = Supervisor::of_environment();
    supervisor.ready();
    let stop = || {
        supervisor.alive();
        interrupt.raised() || doors.broken(&output)
    };
    answerer.serve(&seat, &stop, &mut |told| {
        figures.add(&told);
        tell(&output, &told);
    })?;
    supervisor.stopping();
    doors.close()?;
    let peak = process::status().peak_rss;
    let event =
        json!({ "event": "interrupted", "peak_rss_bytes": peak, "budget_bytes": planned.plan.budget });
    output.log(Level::Info, Target::Serve, event, || {
        Some("stopped; nothing of what was asked is kept".to_owned())
    });
    Ok(Exit::Interrupted)
}

/// What answers under a name.
fn dressed<'t>(
    outfit: &wardrobe::Outfit,
    base: &Base<'_>,
    tokenizer: &'t Tokenizer,
) -> Result<Outfit<'t>, Failure> {
    let options = outfit.labelling.as_ref();
    let labelling = options.map(|options| Asker::new(base.map.path(), options, tokenizer)).transpose()?;
    Ok(Outfit { adapter: outfit.adapter, labelling })
}

fn tell(output: &Output, told: &Told) {
    let Told { prompt_tokens, completion_tokens, seconds, problem, .. } = told;
    let event = json!({
        "event": "answered", "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "seconds": seconds,
        "problem": problem,
    });
    output.log(Level::Info, Target::Serve, event, || {
        let end = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        Some(format!("{prompt_tokens} tokens read, {completion_tokens} written in {seconds:.2} s{end}"))
    });
}

/// Takes the address and the socket before anything is loaded.
fn listen(args: &ServeArgs) -> Result<Listen, Failure> {
    let address = args.listen.map(|at| address(args, at)).transpose()?;
    let socket = args.socket.as_deref().map(bind).transpose()?;
    Ok(Listen { address, socket })
}

/// Takes an address, with what is asked of those who come there.
fn address(args: &ServeArgs, at: SocketAddr) -> Result<Address, Failure> {
    let keeper = args.token_file.as_deref().map(Token::read).transpose();
    let keeper = keeper.map_err(|e| Failure::new(Exit::Usage, format!("--token-file {e}")))?.map(Keeper::new);
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(sprig_transport::tls::acceptor(certificate, key)?),
        _ => None,
    };
    if !at.ip().is_loopback() && (keeper.is_none() || tls.is_none()) {
        let message = format!(
            "--listen {at} is open to other machines: add --token-file, so that not everybody may ask, and --tls-cert and \
             --tls-key, so that nobody reads the token on its way; or use an address such as 127.0.0.1:{}, or --mqtt",
            at.port()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let listener = TcpListener::bind(at)
        .map_err(|e| Failure::new(Exit::Io, format!("cannot listen at {at}: {e}; use another port")))?;
    Ok(Address { listener, keeper, tls })
}

/// Binds a socket; one that nobody listens at any more is taken over, anything else at the place is left as it is.
fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let io = |action: &'static str| move |e| Failure::io(action, path, e);
    if let Ok(there) = std::fs::symlink_metadata(path) {
        use std::os::unix::fs::FileTypeExt;
        let taken = |what: &str| Failure::new(Exit::Usage, format!("--socket {}: {what}", path.display()));
        if !there.file_type().is_socket() {
            return Err(taken("there is a file that is no socket; use another place"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(taken("somebody listens there already; stop it, or use another place"));
        }
        std::fs::remove_file(path).map_err(io("remove"))?;
    }
    let listener = UnixListener::bind(path).map_err(io("listen at"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
    Ok(listener)
}

/// All that questions come in by.
struct Doors<'a> {
    args: &'a ServeArgs,
    http: Option<Http>,
    mqtt: Option<Broker>,
}

/// A session with a fleet's broker, in a thread of its own.
struct Broker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), LinkError>>,
    said: Mutex<(Receiver<Happened>, Outage)>,
}

impl<'a> Doors<'a> {
    fn open(args: &'a ServeArgs, listen: Listen, behind: Behind, output: &Output) -> Result<Self, Failure> {
        let (desk, limits) = (behind.desk.clone(), behind.limits);
        let names: Vec<String> = desk.models().iter().map(|model| model.name.clone()).collect();
        let mqtt = args.mqtt.as_deref().map(|path| Broker::open(path, desk, args.rate)).transpose()?;
        let (mqtt, topic) = mqtt.unzip();
        let address = listen.address.as_ref().and_then(|address| address.listener.local_addr().ok());
        let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
        let http = (listen.address.is_some() || listen.socket.is_some())
            .then(|| http::open(listen, behind))
            .transpose()
            .map_err(|e| Failure::new(Exit::Io, format!("cannot serve HTTP: {e}")))?;
        let event = json!({
            "event": "serving", "listen": address, "socket": args.socket, "mqtt": topic, "context": limits.context,
            "labels": limits.labels, "models": names,
        });
        output.log(Level::Info, Target::Serve, event, || {
            let at = [
                address.map(|address| format!("{scheme}://{address}/v1")),
                args.socket.as_ref().map(|path| path.display().to_string()),
                topic.clone(),
            ];
            let at: Vec<_> = at.into_iter().flatten().collect();
            Some(format!("{} answer at {}", names.join(", "), at.join(", ")))
        });
        Ok(Self { args, http, mqtt })
    }

    /// Whether the broker ended it; also tells what happened there.
    fn broken(&self, output: &Output) -> bool {
        let Some(broker) = &self.mqtt else { return false };
        let (said, outage) = &mut *broker.said.lock().unwrap_or_else(PoisonError::into_inner);
        for happened in said.try_iter() {
            let (level, target) = levels::of_door(&happened);
            let (event, text) = match happened {
                Happened::Connected => {
                    (json!({ "event": "connected" }), Some(outage.over("connected", Instant::now())))
                }
                Happened::Disconnected(reason) => {
                    let text = outage.lost(&reason, Instant::now());
                    (json!({ "event": "disconnected", "reason": reason }), text)
                }
                Happened::Dropped(problem) => {
                    let text = format!("dropped a message: {problem}");
                    (json!({ "event": "dropped", "problem": problem }), Some(text))
                }
            };
            output.log(level, target, event, || text);
        }
        broker.thread.is_finished()
    }

    fn close(self) -> Result<(), Failure> {
        drop(self.http);
        if let Some(path) = &self.args.socket {
            let _ = std::fs::remove_file(path); // one that is left behind is taken over
        }
        let Some(broker) = self.mqtt else { return Ok(()) };
        broker.stop.store(true, Ordering::Relaxed);
        match broker.thread.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(Failure::new(Exit::Bug, "the link's thread ended in a panic")),
        }
    }
}

impl Broker {
    /// Connects as the device of the configuration at `path`; also where questions come in.
    fn open(path: &Path, desk: Desk, rate: u32) -> Result<(Self, String), Failure> {
        let fleet = DeviceSettings::read(path)?.fleet;
        let (device, topics) = (fleet.device()?, fleet.topics()?);
        // A name of its own: the device's agent may be connected too.
        let mut link = connect(&fleet.link(&format!("sprig-{}-{device}-serve", fleet.name))?)?;
        let mut door = Mqtt::open(topics, device, desk, Rate::new(rate, Instant::now()), &mut link)?;
        let (topic, stop) = (door.topic(), Arc::new(AtomicBool::new(false)));
        let (say, said) = sync_channel(MOST_NEWS);
        let asked = stop.clone();
        let work = move || {
            let mut connected = false;
            while !asked.load(Ordering::Relaxed) {
                match door.turn(&mut link) {
                    Ok(happened) => {
                        connected |= happened == Some(Happened::Connected);
                        happened.map_or(Ok(()), |happened| say.try_send(happened)).ok();
                    }
                    // Once it was let in, a refusal passes: the broker is being restarted or its rules changed.
                    Err(e) if e.is_worth_waiting(connected) => {
                        say.try_send(Happened::Disconnected(e.to_string())).ok();
                    }
                    Err(e) => return Err(e),
                }
            }
            Box::new(link).close(None)
        };
        let thread = std::thread::Builder::new().name("questions".to_owned()).spawn(work);
        let thread = thread.map_err(|e| Failure::new(Exit::Io, format!("cannot start a thread: {e}")))?;
        Ok((Self { stop, thread, said: Mutex::new((said, Outage::default())) }, topic))
    }
}
