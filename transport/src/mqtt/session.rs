//! The link's thread: connects, keeps the connection busy, and connects again.

use super::shared::{Job, Shared};
use super::state::{Change, Outgoing};
use super::trouble::{Trouble, judge, largest_packet};
use super::{SEND_WINDOW, transport};
use crate::link::{LinkError, MAX_TOPIC};
use crate::tls::Identity;
use rumqttc::{
    AsyncClient, ConnectionError, EventLoop, MqttOptions, Outgoing as Sent, Packet, PublishNoticeError,
    PublishOptions, QoS, SubscribeFilter, SubscribeReasonCode,
};
use sprig_ground::random::SplitMix64;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A connection that stood this long makes the next pause the shortest again.
const STOOD: Duration = Duration::from_secs(5);
/// Requests on their way to the client at most; publications are bounded by [`SEND_WINDOW`] besides.
const REQUESTS: usize = SEND_WINDOW;

/// Filters of one packet: 32 KiB at most, and brokers that take 64 KiB are common.
const FILTERS: usize = (32 << 10) / MAX_TOPIC;

/// All that the thread needs.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) options: MqttOptions,
    /// Who we are, where the connection is encrypted: read again when the files have changed.
    pub(super) identity: Option<Identity>,
    pub(super) broker: String,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
}

/// How a publication ended: its number, and why the broker does not take it.
type Published = (u64, String, Result<(), PublishNoticeError>);

impl Task {
    pub(super) fn run(self) {
        // One thread for the link, and one at most for names that take time to resolve.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::from_secs(1))
            .build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(self.live());
                runtime.shutdown_background();
            }
            Err(error) => self.shared.ended(&format!("no runtime for its thread: {error}")),
        }
    }

    /// Keeps the session until nobody has a use of it.
    pub(super) async fn live(mut self) {
        let _ended = Ended(self.shared.clone());
        let shared = self.shared.clone();
        tokio::select! {
            () = shared.until_abandoned() => {}
            () = self.keep_connected() => {}
        }
    }

    /// Returns when the link was closed and the broker told so.
    async fn keep_connected(&mut self) {
        // Devices that lost the same broker must not all come back at the same moment.
        let mut random = SplitMix64::new(RandomState::new().hash_one(&self.broker));
        let mut pause = self.first_pause;
        loop {
            let begun = Instant::now();
            self.identify();
            let Some(error) = self.connection().await else { return };
            if let Some(largest) = largest_packet(&error) {
                for topic in self.shared.drop_larger(largest) {
                    self.refused(format!(
                        "publishing to {topic}: it takes packets of {largest} bytes at most"
                    ));
                }
            }
            match judge(&self.broker, &error) {
                Trouble::Passing(why) => self.shared.lost(why),
                Trouble::Standing(error) => {
                    self.shared.lost(error.to_string());
                    self.shared.complain(error);
                }
            }
            if begun.elapsed() >= STOOD {
                pause = self.first_pause;
            }
            tokio::time::sleep(pause.mul_f64(0.5 + random.fraction() / 2.0)).await;
            pause = (pause * 2).min(self.longest_pause);
        }
    }

    /// Takes over a certificate that was renewed. Files that are no longer any good are told of, and what was read before is used.
    fn identify(&mut self) {
        match self.identity.as_mut().map(Identity::renewed) {
            Some(Ok(Some(client))) => drop(self.options.set_transport(transport(client))),
            Some(Err(error)) => self.shared.complain(error),
            None | Some(Ok(None)) => {}
        }
    }

    /// One connection, from its beginning to its end; none if it was closed on purpose.
    async fn connection(&self) -> Option<ConnectionError> {
        let filters = self.shared.begin();
        let (client, events) = match AsyncClient::builder(self.options.clone()).capacity(REQUESTS).try_build()
        {
            Ok(built) => built,
            Err(error) => return Some(ConnectionError::Io(std::io::Error::other(error))),
        };
        let accepted = Notify::new();
        tokio::select! {
            end = self.receive(&client, events, &accepted) => end,
            () = self.send(&client, filters, &accepted) => None,
        }
    }

    /// Drives the client and takes what comes in.
    async fn receive(
        &self,
        client: &AsyncClient,
        mut events: EventLoop,
        accepted: &Notify,
    ) -> Option<ConnectionError> {
        loop {
            match events.poll().await {
                Ok(rumqttc::Event::Incoming(Packet::ConnAck(_))) => accepted.notify_one(),
                Ok(rumqttc::Event::Incoming(Packet::Publish(message))) => {
                    let ack = client.prepare_ack(&message);
                    self.shared.receive(&message.topic, message.payload, ack);
                }
                Ok(rumqttc::Event::Outgoing(Sent::Disconnect)) | Err(ConnectionError::RequestsDone) => {
                    return None;
                }
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
    }

    /// Subscribes, then sends whatever waits. Ends only with the connection.
    async fn send(&self, client: &AsyncClient, filters: Vec<String>, accepted: &Notify) {
        accepted.notified().await;
        // Thousands of filters in one packet would be more than a broker takes.
        for filters in filters.chunks(FILTERS) {
            self.subscribe(client, filters).await;
        }
        self.shared.connected();
        let mut published: JoinSet<Published> = JoinSet::new();
        loop {
            match self.shared.job(published.len() >= SEND_WINDOW) {
                Job::Acknowledge(acks) => {
                    for ack in acks {
                        // An error means that the connection is gone, which ends this future.
                        let _ = client.manual_ack(ack).await;
                    }
                }
                Job::Change(change) => {
                    match change {
                        Change::Subscribe(filter) => self.subscribe(client, &[filter]).await,
                        Change::Unsubscribe(filter) => {
                            if let Ok(notice) = client.unsubscribe_tracked(filter).await {
                                let _ = notice.wait_async().await;
                            }
                        }
                    }
                    self.shared.changed();
                }
                Job::Publish(message) => self.publish(client, message, &mut published).await,
                Job::Disconnect => {
                    let _ = client.disconnect().await;
                    std::future::pending::<()>().await;
                }
                Job::Wait => tokio::select! {
                    () = self.shared.until_work() => {}
                    Some(Ok(end)) = published.join_next(), if !published.is_empty() => self.published(end),
                },
            }
            while let Some(Ok(end)) = published.try_join_next() {
                self.published(end);
            }
        }
    }

    async fn publish(&self, client: &AsyncClient, message: Outgoing, published: &mut JoinSet<Published>) {
        let Outgoing { id, topic, payload, retain } = message;
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain);
        match client.publish_tracked(topic.as_str(), payload, options).await {
            Ok(notice) => {
                published.spawn(async move { (id, topic, notice.wait_completion_async().await) });
            }
            // Topics are checked before they are queued; a message the client does not take must not block others.
            Err(error) => self.refuse(id, &topic, &error.to_string()),
        }
    }

    fn published(&self, (id, topic, end): Published) {
        match end {
            Ok(()) => self.shared.done(id),
            // The connection is gone: the message is sent again on the next.
            Err(PublishNoticeError::Recv | PublishNoticeError::SessionReset) => {}
            Err(error) => self.refuse(id, &topic, &error.to_string()),
        }
    }

    fn refuse(&self, id: u64, topic: &str, why: &str) {
        self.shared.done(id);
        self.refused(format!("publishing to {topic}: {why}"));
    }

    async fn subscribe(&self, client: &AsyncClient, filters: &[String]) {
        let wanted = filters.iter().map(|filter| SubscribeFilter::new(filter.as_str(), QoS::AtLeastOnce));
        let Ok(notice) = client.subscribe_many_tracked(wanted).await else { return };
        let Ok(answer) = notice.wait_async().await else { return };
        for (filter, code) in filters.iter().zip(answer.return_codes) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                self.refused(format!("subscribing to {filter}: {code:?}"));
            }
        }
    }

    fn refused(&self, why: String) {
        self.shared.complain(LinkError::Refused { broker: self.broker.clone(), why });
    }
}

/// Says that the thread has ended, also if it panicked.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended(if std::thread::panicking() { "its thread failed" } else { "it was closed" });
    }
}
