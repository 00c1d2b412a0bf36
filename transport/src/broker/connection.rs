//! One client of the embedded broker.

use crate::memory::hub::{Client, Inner, Waiting, Will};
use crate::memory::lock;
use crate::mqtt::MAX_PACKET;
use crate::rules;
use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, LastWill,
    Packet, PubAck, PubAckReason, Publish, QoS, SubAck, Subscribe, SubscribeReasonCode, UnsubAck,
    UnsubAckReason,
};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// In which a client must say who it is.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Messages sent before the first is acknowledged, at most.
const WINDOW: u16 = 256;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 64 << 10;

pub(super) struct Connection {
    hub: Arc<Mutex<Inner>>,
    /// Answers to the client. Reading and writing must not wait for each other: a client may read nothing until
    /// what it writes is taken.
    answers: Mutex<BytesMut>,
    state: Mutex<State>,
    stirred: Notify,
}

#[derive(Default)]
struct State {
    filters: HashMap<String, QoS>,
    /// Packet identifiers in use.
    sent: HashSet<u16>,
    last_id: u16,
    window: usize,
}

/// How a connection ended.
enum End {
    /// The client said farewell.
    Farewell,
    /// Anything else: its will is published.
    Lost,
}

impl Connection {
    pub(super) fn new(hub: Arc<Mutex<Inner>>) -> Self {
        Self { hub, answers: Mutex::default(), state: Mutex::default(), stirred: Notify::new() }
    }

    pub(super) async fn serve(self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = stream.split();
        let mut unread = BytesMut::new();
        let first = tokio::time::timeout(CONNECT_TIME, read(&mut reader, &mut unread)).await;
        let Ok(Ok(Packet::Connect(connect, will, _))) = first else { return };
        let id = connect.client_id.clone();
        if id.is_empty() {
            let _ = write(&mut writer, &accepted(ConnectReturnCode::ClientIdentifierNotValid)).await;
            return;
        }
        lock(&self.state).window = usize::from(receive_maximum(&connect).min(WINDOW));
        let client = lock(&self.hub).join(&id, will.map(published));
        let end = if write(&mut writer, &accepted(ConnectReturnCode::Success)).await.is_err() {
            End::Lost
        } else {
            tokio::select! {
                end = self.listen(&id, &client, &mut reader, unread, connect.keep_alive) => end,
                end = self.speak(&client, &mut writer) => end,
            }
        };
        lock(&self.hub).leave(&id, &client, matches!(end, End::Lost));
    }

    /// Takes what the client sends, until the connection ends.
    async fn listen(
        &self,
        id: &str,
        client: &Arc<Client>,
        reader: &mut (impl AsyncRead + Unpin),
        mut unread: BytesMut,
        keep_alive: u16,
    ) -> End {
        // One and a half times the keep-alive, as MQTT says; a client without one may be silent for ever.
        let silence = match keep_alive {
            0 => Duration::from_secs(u64::from(u32::MAX)),
            seconds => Duration::from_millis(1500 * u64::from(seconds)),
        };
        loop {
            let Ok(Ok(packet)) = tokio::time::timeout(silence, read(reader, &mut unread)).await else {
                return End::Lost;
            };
            match packet {
                Packet::Publish(message) if self.publish(&message) => {}
                Packet::PubAck(ack) => {
                    lock(&self.state).sent.remove(&ack.pkid);
                    self.stirred.notify_one();
                }
                Packet::Subscribe(wanted) => self.subscribe(id, client, wanted),
                Packet::Unsubscribe(unwanted) => {
                    for filter in &unwanted.filters {
                        lock(&self.state).filters.remove(filter);
                        let _ = lock(&self.hub).unsubscribe(id, client, filter);
                    }
                    let reasons = vec![UnsubAckReason::Success; unwanted.filters.len()];
                    self.answer(&Packet::UnsubAck(UnsubAck {
                        pkid: unwanted.pkid,
                        reasons,
                        properties: None,
                    }));
                }
                Packet::PingReq => self.answer(&Packet::PingResp),
                Packet::Disconnect(Disconnect {
                    reason_code: DisconnectReasonCode::NormalDisconnection,
                    ..
                }) => {
                    return End::Farewell;
                }
                _ => return End::Lost,
            }
        }
    }

    /// Passes a message on; false if MQTT does not allow it.
    fn publish(&self, message: &Publish) -> bool {
        let aliased = message.properties.as_ref().is_some_and(|p| p.topic_alias.is_some());
        let topic =
            std::str::from_utf8(&message.topic).ok().filter(|t| rules::check_publication(t, &[]).is_ok());
        let Some(topic) = topic else { return false };
        if aliased || message.qos == QoS::ExactlyOnce {
            return false;
        }
        lock(&self.hub).deliver(topic, Arc::from(&message.payload[..]), message.retain);
        if message.qos == QoS::AtLeastOnce {
            let mut ack = PubAck::new(message.pkid, None);
            ack.reason = PubAckReason::Success;
            self.answer(&Packet::PubAck(ack));
        }
        true
    }

    fn subscribe(&self, id: &str, client: &Arc<Client>, wanted: Subscribe) {
        let mut return_codes = Vec::new();
        // The answer goes out before retained messages, which the hub queues.
        for filter in &wanted.filters {
            return_codes.push(match rules::check_filter(&filter.path) {
                Ok(()) => SubscribeReasonCode::Success(granted(filter.qos)),
                Err(_) => SubscribeReasonCode::TopicFilterInvalid,
            });
        }
        let codes = return_codes.clone();
        self.answer(&Packet::SubAck(SubAck { pkid: wanted.pkid, return_codes, properties: None }));
        for (filter, code) in wanted.filters.into_iter().zip(codes) {
            if let SubscribeReasonCode::Success(qos) = code {
                lock(&self.state).filters.insert(filter.path.clone(), qos);
                let _ = lock(&self.hub).subscribe(id, client, &filter.path);
            }
        }
    }

    /// Sends answers and messages, until the connection ends.
    async fn speak(&self, client: &Client, writer: &mut (impl AsyncWrite + Unpin)) -> End {
        let mut out = BytesMut::new();
        loop {
            std::mem::swap(&mut out, &mut *lock(&self.answers));
            while out.len() < WRITE_BYTES && self.has_room() {
                match client.pop() {
                    Ok(Some(Waiting::Message { topic, payload, retained })) => {
                        self.encode(&topic, &payload, retained, &mut out);
                    }
                    Ok(Some(Waiting::Event(_))) => {}
                    Ok(None) => break,
                    Err(_) => {
                        let farewell = Disconnect::new(DisconnectReasonCode::SessionTakenOver);
                        let _ = write(writer, &Packet::Disconnect(farewell)).await;
                        return End::Lost;
                    }
                }
            }
            if out.is_empty() {
                tokio::select! {
                    () = client.stirred() => {}
                    () = self.stirred.notified() => {}
                }
            } else if writer.write_all(&out).await.is_err() {
                return End::Lost;
            }
            out.clear();
        }
    }

    fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.sent.len() < state.window
    }

    fn encode(&self, topic: &str, payload: &[u8], retained: bool, out: &mut BytesMut) {
        let mut state = lock(&self.state);
        let matching = state.filters.iter().filter(|(filter, _)| rules::matches(filter, topic));
        // None matches any more once it is unsubscribed.
        let Some(qos) = matching.map(|(_, qos)| *qos).max_by_key(|qos| *qos as u8) else { return };
        let mut message = Publish::new(topic, qos, Bytes::copy_from_slice(payload), None);
        message.retain = retained;
        if qos == QoS::AtLeastOnce {
            message.pkid = state.next_id();
        }
        // The hub takes no message that would not fit.
        let _ = Packet::Publish(message).write(out, None);
    }

    fn answer(&self, packet: &Packet) {
        // An answer is far smaller than any limit.
        let _ = packet.write(&mut lock(&self.answers), None);
        self.stirred.notify_one();
    }
}

impl State {
    /// An identifier that is free: there are far more than the window takes.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.sent.insert(self.last_id) {
                return self.last_id;
            }
        }
    }
}

fn granted(wanted: QoS) -> QoS {
    if wanted == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

fn receive_maximum(connect: &Connect) -> u16 {
    connect.properties.as_ref().and_then(|p| p.receive_maximum).unwrap_or(u16::MAX)
}

fn published(will: LastWill) -> Will {
    let topic = String::from_utf8_lossy(&will.topic).into_owned();
    Will { message: (topic, will.message.to_vec()), retain: will.retain }
}

fn accepted(code: ConnectReturnCode) -> Packet {
    let properties = ConnAckProperties {
        session_expiry_interval: Some(0),
        receive_max: None,
        max_qos: Some(1),
        retain_available: None,
        max_packet_size: Some(MAX_PACKET),
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(0),
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    Packet::ConnAck(ConnAck { session_present: false, code, properties: Some(properties) })
}

async fn read(reader: &mut (impl AsyncRead + Unpin), unread: &mut BytesMut) -> io::Result<Packet> {
    loop {
        match Packet::read(unread, Some(MAX_PACKET)) {
            Ok(packet) => return Ok(packet),
            Err(PacketError::InsufficientBytes(_)) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        }
        if reader.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), packet: &Packet) -> io::Result<()> {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).map_err(|error| io::Error::other(error.to_string()))?;
    writer.write_all(&out).await
}
