//! Exit codes, and which error gets which. Documented for users in `docs/exit-codes.md`.

use sprig_budget::{BudgetError, Bytes, SizeError};
#[cfg(feature = "coordinator")]
use sprig_coordinator::dashboard::DashboardError;
#[cfg(feature = "coordinator")]
use sprig_coordinator::{CoordinatorError, LedgerError};
use sprig_device::BoardError;
use sprig_engine::adapter::AdapterError;
use sprig_engine::gguf::GgufError;
use sprig_engine::model::{GenerateError, ModelError};
use sprig_engine::tokenizer::TokenizerError;
use sprig_ground::PathError;
use sprig_learn::LearnError;
use sprig_learn::data::DataError;
use sprig_learn::setting::SettingError;
use sprig_protocol::FleetError;
use sprig_protocol::settings::SettingsError;
use sprig_report::RecordError;
use sprig_run::RunError;
use sprig_serve::status::StatusError;
use sprig_transport::enrol::EnrolError;
use sprig_transport::link::{LinkError, Who};
#[cfg(feature = "coordinator")]
use sprig_transport::provision::ProvisionError;
use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;

/// How a command ended. Scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The command line is wrong.
    Usage = 2,
    /// A file or record is bad; the message names it.
    BadFile = 3,
    /// The budget cannot hold it; the message names the smallest that would.
    Budget = 4,
    /// Reading or writing failed.
    Io = 5,
    /// The broker or a peer failed us.
    Peer = 6,
    /// Interrupted after a clean checkpoint.
    Interrupted = 7,
    /// The training diverged: a loss is not a number.
    Diverged = 8,
    /// Every round of a fleet's run was abandoned.
    #[cfg_attr(not(feature = "coordinator"), allow(dead_code))] // a board coordinates nothing
    Abandoned = 9,
    /// Our bug.
    Bug = 70,
}

impl Exit {
    /// What a process of this program that ended with `code` meant by it.
    pub fn of_code(code: i32) -> Self {
        use Exit::*;
        let all = [Done, Usage, BadFile, Budget, Io, Peer, Interrupted, Diverged, Abandoned];
        all.into_iter().find(|exit| *exit as i32 == code).unwrap_or(Bug)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way out.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code.
    pub exit: Exit,
    message: String,
    /// What it comes from, outermost first, where the message does not have it.
    causes: Vec<String>,
    /// The smallest budget that would do, where one is too small.
    smallest: Option<Bytes>,
}

impl Failure {
    /// A failure with a message of ours.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), causes: Vec::new(), smallest: None }
    }

    /// A failed read or write of `path`.
    pub fn io(action: &str, path: &Path, error: io::Error) -> Self {
        let remedy = remedy(&error);
        Self::new(Exit::Io, format_args!("cannot {action} {}: {error}{remedy}", path.display()))
    }

    /// The same with the name of the file it is about in front.
    pub fn about(self, path: &Path) -> Self {
        let name = path.display().to_string();
        if self.message.contains(&name) {
            self
        } else {
            Self { message: format!("{name}: {}", self.message), ..self }
        }
    }

    /// What it comes from, outermost first, beyond what its message says.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// The smallest budget that would do, where it is one that is too small.
    pub fn smallest_budget(&self) -> Option<Bytes> {
        self.smallest
    }

    /// The same with the errors below `error` that the message does not have.
    fn caused_by(mut self, error: &dyn Error) -> Self {
        let below = std::iter::successors(error.source(), |error| (*error).source());
        let unsaid = below.map(ToString::to_string).filter(|cause| !self.message.contains(cause));
        self.causes = unsaid.collect();
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What to do about a disk that takes no more; the other errors say it themselves or leave no choice.
fn remedy(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                return "; free space there and run the same command again, a training with --resume";
            }
            Some(io::ErrorKind::ReadOnlyFilesystem) => {
                return "; it has to be writable, or name another place";
            }
            _ => next = error.source(),
        }
    }
    ""
}

fn file_or_io(is_io: bool) -> Exit {
    if is_io { Exit::Io } else { Exit::BadFile }
}

macro_rules! failures {
    ($($error:ty => $exit:expr),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let exit: fn(&$error) -> Exit = $exit;
                let remedy = remedy(&error);
                Self::new(exit(&error), format_args!("{error}{remedy}")).caused_by(&error)
            }
        }
    )+};
}

failures! {
    PathError => |_| Exit::Io,
    GgufError => |e| file_or_io(e.is_io()),
    ModelError => |e| file_or_io(e.is_io()),
    AdapterError => |e| file_or_io(e.is_io()),
    TokenizerError => |_| Exit::BadFile,
    DataError => data,
    GenerateError => |e| match e {
        GenerateError::Full { .. } => Exit::Usage,
        GenerateError::Batch(_) => Exit::BadFile,
        GenerateError::Budget(e) => budget(e),
    },
    SettingsError => settings,
    LinkError => link,
    EnrolError => |e| match e {
        EnrolError::Io(_) => Exit::Io,
        EnrolError::Name(_) | EnrolError::NoKey(_) => Exit::Usage,
        EnrolError::Certificate(_) | EnrolError::Key { .. } | EnrolError::Other { .. } => Exit::BadFile,
        EnrolError::Request(_) => Exit::Bug,
    },
    RecordError => |e| if matches!(e, RecordError::Io { .. }) { Exit::Io } else { Exit::BadFile },
    SizeError => |_| Exit::Usage,
    StatusError => |e| match e {
        StatusError::BeyondLoopback { .. } => Exit::Usage,
        _ => Exit::Io,
    },
    SettingError => |_| Exit::Usage,
}

impl From<BudgetError> for Failure {
    fn from(error: BudgetError) -> Self {
        let exit = budget(&error);
        match error {
            BudgetError::TooSmall { budget, smallest, .. } => {
                let bytes = smallest.get();
                // To the byte, and as people write it, rounded up.
                let (mib, rest) = (bytes.div_ceil(1 << 20), bytes % (1 << 20));
                let such = if rest == 0 { String::new() } else { format!(", such as {mib}MiB") };
                let unit = match budget.get() {
                    // No process is that small: a unit was left out.
                    few @ ..65_536 => format!(" ({few} are bytes; write {few}MiB for MiB)"),
                    _ => String::new(),
                };
                let failure =
                    Self::new(exit, format_args!("{error}; give --budget {bytes} or more{such}{unit}"));
                Self { smallest: Some(smallest), ..failure }
            }
            BudgetError::HeapLimit { .. } => {
                Self::new(exit, format_args!("{error} (--budget or --heap-limit)"))
            }
            _ => Self::new(exit, error),
        }
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Self {
        let exit = match &error {
            LearnError::Budget(_) => Exit::Budget,
            LearnError::Data(e) => data(e),
            LearnError::Adapter(_) | LearnError::Setting(_) | LearnError::Settings(_) => Exit::Usage,
            LearnError::File { source, .. } => file_or_io(source.is_io()),
            LearnError::Batch(_)
            | LearnError::Checkpoint { .. }
            | LearnError::Sums { .. }
            | LearnError::Update { .. } => Exit::BadFile,
            LearnError::Io { .. } => Exit::Io,
        };
        if let LearnError::Budget(error) = error {
            return error.into(); // which adds the budget to give
        }
        let remedy = remedy(&error);
        Self::new(exit, format_args!("{error}{remedy}")).caused_by(&error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Learn(e) => e.into(), // which has something to add, and codes of its own
            RunError::DataLimit(_) | RunError::UnknownMemory(_) => Self::new(Exit::Io, error),
            RunError::Board(e) => e.into(),
        }
    }
}

impl From<BoardError> for Failure {
    fn from(error: BoardError) -> Self {
        let exit = match error {
            BoardError::Unknown { .. } => Exit::Usage,
            BoardError::Profile { .. } => Exit::BadFile,
            BoardError::File(_) => Exit::Io,
        };
        Self::new(exit, error)
    }
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let exit = match error {
            // Those have something to add, or codes of their own.
            FleetError::Learn(e) => return e.into(),
            FleetError::Run(e) => return e.into(),
            FleetError::Budget(e) => return e.into(),
            FleetError::Settings(ref e) => settings(e),
            FleetError::Link(ref e) => link(e),
            FleetError::Data(ref e) => data(e),
            FleetError::Model(ref e) => file_or_io(e.is_io()),
            FleetError::Adapter(ref e) => file_or_io(e.is_io()),
            FleetError::OtherModel { .. } | FleetError::OtherAdapter { .. } => Exit::BadFile,
            FleetError::Unserved { .. } => Exit::Peer,
            FleetError::Outbox(_) | FleetError::Io { .. } => Exit::Io,
            FleetError::Bug(_) => Exit::Bug,
        };
        let remedy = remedy(&error);
        Self::new(exit, format_args!("{error}{remedy}")).caused_by(&error)
    }
}

fn settings(error: &SettingsError) -> Exit {
    match error {
        SettingsError::Io { .. } => Exit::Io,
        SettingsError::TooLarge { .. } | SettingsError::Parse { .. } => Exit::BadFile,
        SettingsError::Value { .. } => Exit::Usage,
    }
}

fn link(error: &LinkError) -> Exit {
    match error.who() {
        Who::User => Exit::Usage,
        Who::Broker | Who::Nobody => Exit::Peer,
        Who::Program => Exit::Bug,
    }
}

#[cfg(feature = "coordinator")]
fn coordinator(error: &CoordinatorError) -> Exit {
    match error {
        CoordinatorError::Ledger(e) => match e {
            LedgerError::Damaged { .. } | LedgerError::Format { .. } => Exit::BadFile,
            LedgerError::Foreign { .. }
            | LedgerError::None { .. }
            | LedgerError::There { .. }
            | LedgerError::Occupied { .. }
            | LedgerError::Adapter { .. } => Exit::Usage,
            _ => Exit::Io,
        },
        CoordinatorError::Learn(_)
        | CoordinatorError::Name(_)
        | CoordinatorError::Over { .. }
        | CoordinatorError::Objection(_) => Exit::Usage,
        CoordinatorError::Link(e) => link(e),
        CoordinatorError::NotRunning { .. }
        | CoordinatorError::Answer { .. }
        | CoordinatorError::Restored { .. }
        | CoordinatorError::StoodDown { .. }
        | CoordinatorError::StandsDown { .. }
        | CoordinatorError::Second { .. } => Exit::Peer,
        CoordinatorError::Io { .. } => Exit::Io,
    }
}

#[cfg(feature = "coordinator")]
failures! {
    CoordinatorError => coordinator,
    ProvisionError => |e| match e {
        ProvisionError::Io { .. } | ProvisionError::Random(_) => Exit::Io,
        ProvisionError::Damaged { .. } | ProvisionError::Request(_) => Exit::BadFile,
        ProvisionError::Certificate(_) => Exit::Bug,
        _ => Exit::Usage,
    },
    DashboardError => |e| match e {
        DashboardError::BeyondLoopback { .. }
        | DashboardError::NoToken { .. }
        | DashboardError::Token(_)
        | DashboardError::Identity { .. } => Exit::Usage,
        _ => Exit::Io,
    },
}

fn data(error: &DataError) -> Exit {
    match error {
        DataError::Io { .. } => Exit::Io,
        DataError::Options(_) => Exit::Usage,
        DataError::TooLarge { .. } => Exit::Budget,
        _ => Exit::BadFile,
    }
}

fn budget(error: &BudgetError) -> Exit {
    if matches!(error, BudgetError::ArenaExhausted { .. }) { Exit::Bug } else { Exit::Budget }
}
