//! What an agent holds outside of its learner, for plans.

use super::catch_up::arriving;
use sprig_budget::Bytes;
use sprig_learn::spry::{Layout, Rules, Server};
use sprig_protocol::FleetError;
use sprig_protocol::settings::DeviceSettings;

/// What the link, its thread and TLS session, the outbox's pages and messages under way take, with room to spare: on
/// x86-64 the agents of the demo, which has no TLS, stay 3.9 to 4.1 MiB below plans that hold this.
const LINK: (&str, Bytes) = ("link and outbox", Bytes::mib(4));

/// What the door for metrics takes: its thread, eight connections of two buffers of 8 KiB, and answers of 4 KiB, with room to
/// spare.
const METRICS: Bytes = Bytes::mib(1);

/// The region of an adapter that is taken over.
pub(crate) const ARRIVES: &str = "the fleet's adapter as it arrives";

/// What writing an adapter's file takes beside the adapter: a buffer of 256 KiB, and the names of its tensors.
pub(crate) const WRITING: Bytes = Bytes::kib(512);

/// What a device that follows a fleet holds beside what it learns by: what every plan of a round has.
pub fn following(layout: &Layout, rules: &Rules) -> [(&'static str, Bytes); 3] {
    [
        ("the fleet's adapter", Server::heap_bytes(layout, rules)),
        // Any time, also while a part is under way: the coordinator may have gone on meanwhile.
        (ARRIVES, arriving(layout.len(), layout.len() * rules.server.moments())),
        LINK,
    ]
}

/// What an agent holds outside of its learner.
pub(crate) fn outside(settings: &DeviceSettings) -> impl Iterator<Item = (&'static str, Bytes)> {
    std::iter::once(LINK).chain(metrics(settings))
}

pub(crate) fn metrics(settings: &DeviceSettings) -> Option<(&'static str, Bytes)> {
    settings.agent.metrics.as_ref().map(|_| ("metrics", METRICS))
}

pub(crate) fn budget(settings: &DeviceSettings) -> Result<Bytes, FleetError> {
    Ok(sprig_run::budget(settings.model.budget, settings.agent.board.as_deref())?)
}
