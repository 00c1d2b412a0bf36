//! Asking a running coordinator from other threads: the control socket and the dashboard.

use crate::event::Act;
use crate::ids::RoundId;
use crate::ledger::{CoverageRow, Moment};
use crate::rows::RoundRow;
use crate::view::FleetView;
use sprig_transport::messages::{DeviceId, Snapshot};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

/// Time a running coordinator has to answer. Applying a round of thousands of updates takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A way to ask a running coordinator. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Request>);

/// What can be asked.
#[derive(Debug)]
pub(super) enum Request {
    View(SyncSender<FleetView>),
    /// Rows of all rounds from this one on.
    History(RoundId, SyncSender<Vec<RoundRow>>),
    Coverage(SyncSender<Vec<CoverageRow>>),
    /// The adapter whose digest begins so, or the last one.
    Adapter(Option<String>, SyncSender<Result<Snapshot, String>>),
    /// Something is decided about the device of this name; why it cannot be, if it cannot.
    Standing(DeviceId, Act, SyncSender<Result<(), String>>),
    /// The ledger as it stands.
    Moment(SyncSender<Moment>),
    Pause,
    Resume,
}

impl Handle {
    pub(super) fn new() -> (Self, Receiver<Request>) {
        let (asks, asked) = mpsc::channel();
        (Handle(asks), asked)
    }

    /// The fleet now; `None` when the coordinator has ended.
    pub fn view(&self) -> Option<FleetView> {
        self.ask(Request::View)
    }

    /// The same, if it comes within `patience`.
    pub fn view_within(&self, patience: Duration) -> Option<FleetView> {
        self.ask_within(patience, Request::View)
    }

    /// Rows of finished rounds, from `round` on; `None` when the coordinator has ended.
    pub fn history(&self, round: RoundId) -> Option<Vec<RoundRow>> {
        self.ask(|reply| Request::History(round, reply))
    }

    /// Examples behind each group, by device; `None` when the coordinator has ended.
    pub fn coverage(&self) -> Option<Vec<CoverageRow>> {
        self.ask(Request::Coverage)
    }

    /// The adapter whose digest begins with `prefix`, or the last one; why there is none, or `None` when the coordinator
    /// has ended.
    pub fn adapter(&self, prefix: Option<&str>) -> Option<Result<Snapshot, String>> {
        self.ask(|reply| Request::Adapter(prefix.map(str::to_owned), reply))
    }

    /// Decides about the device called `id`; why that cannot be, or `None` when the coordinator has ended.
    pub fn decide(&self, id: &DeviceId, act: Act) -> Option<Result<(), String>> {
        self.ask(|reply| Request::Standing(id.clone(), act, reply))
    }

    /// The same without waiting: where the answer comes.
    pub fn ask_to_decide(&self, id: &DeviceId, act: Act) -> Option<Receiver<Result<(), String>>> {
        self.request(|reply| Request::Standing(id.clone(), act, reply))
    }

    /// The ledger as it stands; `None` when the coordinator has ended.
    pub(super) fn moment(&self) -> Option<Moment> {
        self.ask(Request::Moment)
    }

    /// Has no further round opened or closed until resumed; whether the coordinator heard it.
    pub fn pause(&self) -> bool {
        self.0.send(Request::Pause).is_ok()
    }

    /// Goes on; whether the coordinator heard it.
    pub fn resume(&self) -> bool {
        self.0.send(Request::Resume).is_ok()
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<T> {
        self.ask_within(PATIENCE, request)
    }

    fn ask_within<T>(&self, patience: Duration, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<T> {
        self.request(request)?.recv_timeout(patience).ok()
    }

    fn request<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<Receiver<T>> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.0.send(request(reply)).ok()?;
        Some(answer)
    }
}
