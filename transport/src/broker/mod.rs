//! An MQTT 5 broker in this process, so that demo and tests need none installed. Fleets use mosquitto or a larger one.
//!
//! It is [`memory`](crate::memory) behind TCP, with the packet codec of the MQTT client: no dependency is added.
//! (Of the brokers that can be embedded, rumqttd 0.20 adds 124 crates, mqtt5 0.49 adds 95, rmqtt 0.23 adds 166.)
//! It does what our links use: QoS 0 and 1, clean sessions, retained messages, wills, `+` and `#`, keep-alive, flow
//! control. It has neither login nor TLS, and so listens on this machine only.

mod connection;

use crate::memory::hub::Inner;
use crate::memory::lock;
use connection::Connection;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::Notify;

/// Connections at a time; the next waits until one ends.
pub const MAX_CLIENTS: usize = 16_384;

/// A running broker; it ends when dropped.
pub struct Broker {
    address: SocketAddr,
    hub: Arc<Mutex<Inner>>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Listens at `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// If the address is not of this machine alone, or taken.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = format!(
                "{address}: the embedded broker has neither login nor TLS; use 127.0.0.1, or mosquitto"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (hub, stop) = (Arc::<Mutex<Inner>>::default(), Arc::new(Notify::new()));
        let (of_thread, until) = (hub.clone(), stop.clone());
        let thread = thread::Builder::new().name("broker".to_owned()).spawn(move || {
            // Dropping the runtime ends every connection.
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, of_thread) => {}
                    () = until.notified() => {}
                }
            });
        })?;
        Ok(Self { address, hub, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as links take it.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Messages dropped because a client did not take them.
    pub fn dropped(&self) -> u64 {
        lock(&self.hub).dropped()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, hub: Arc<Mutex<Inner>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = Connection::new(hub.clone());
                tokio::spawn(async move {
                    connection.serve(stream).await;
                    drop(place);
                });
            }
            // No descriptor is left, say: it may pass.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}
