//! Many sessions in one thread: a load of ten thousand connections would else be as many threads, and three times as many open
//! files.

use super::{MqttLink, prepared};
use crate::link::{LinkConfig, LinkError};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// What sessions share. With it they all end.
pub struct Many {
    handle: Handle,
    ended: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Many {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the machine has none to give.
    pub fn start() -> Result<Self, LinkError> {
        let closed =
            |error: std::io::Error| LinkError::Closed(format!("its thread cannot be started: {error}"));
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(1).build().map_err(closed)?;
        let (handle, ended) = (runtime.handle().clone(), Arc::new(Notify::new()));
        let until = ended.clone();
        let thread = thread::Builder::new()
            .name("mqtt".to_owned())
            .spawn(move || {
                runtime.block_on(until.notified());
                runtime.shutdown_background();
            })
            .map_err(closed)?;
        Ok(Self { handle, ended, thread: Some(thread) })
    }

    /// As [`connect`](super::connect), in the shared thread.
    ///
    /// # Errors
    /// As [`connect`](super::connect).
    pub fn connect(&self, config: &LinkConfig) -> Result<MqttLink, LinkError> {
        let task = prepared(config)?;
        let shared = task.shared.clone();
        self.handle.spawn(task.live());
        Ok(MqttLink { shared, patience: config.patience, thread: None })
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        self.ended.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
