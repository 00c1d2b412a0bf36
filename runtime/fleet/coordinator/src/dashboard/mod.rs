//! The fleet on a page: one self-contained HTML document, fed by server-sent events. It shows and changes
//! nothing; a run is paused and resumed over the control socket.

mod access;
mod changes;
mod door;
mod guard;
mod page;
mod server;
mod wire;

pub use sprig_transport::token::{Token, TokenError};
pub use wire::Identity;

use super::{FleetView, Handle};
use access::Access;
use door::Door;
use server::Site;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Time from one question to the coordinator to the next while a page is open, and the number of those
/// times when none is.
const ASK: (Duration, u32) = (Duration::from_secs(1), 10);

/// Where the page is served, and to whom.
///
/// Beyond the loopback only with a token; without an identity it then travels as it is.
#[derive(Clone, Debug)]
pub struct Listen {
    /// `host:port`; port 0 for any that is free.
    pub address: String,
    /// Allows an address that other machines reach.
    pub beyond_loopback: bool,
    /// What a client has to know; none on the loopback lets everybody in who is on this machine.
    pub token: Option<Token>,
    /// What connections are encrypted with.
    pub identity: Option<Identity>,
    /// Connections at a time; further ones are closed at once.
    pub clients: usize,
    /// Seconds without a byte in either direction after which a client is dropped.
    pub stall: Duration,
    /// Least time between two patches: views that come faster are passed over.
    pub pace: Duration,
}

impl Listen {
    /// At this address on the loopback: 64 connections, dropped after 30 seconds, two patches a second.
    pub fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            beyond_loopback: false,
            token: None,
            identity: None,
            clients: 64,
            stall: Duration::from_secs(30),
            pace: Duration::from_millis(500),
        }
    }
}

/// The page as a file: shows `view` and asks nobody.
pub fn still(view: &FleetView) -> String {
    page::still(view)
}

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The address is none, or taken.
    #[error("cannot serve the dashboard at {address}: {source}")]
    Bind {
        /// As in the settings.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The address is reached from other machines.
    #[error(
        "the dashboard at {address} could be read by other machines: use 127.0.0.1 (and `ssh -L` from elsewhere), or set \
         dashboard_beyond_loopback = true and a dashboard_token_file under [coordinator]"
    )]
    BeyondLoopback {
        /// As in the settings.
        address: String,
    },
    /// Nothing is asked of those that look.
    #[error(
        "the dashboard at {address} is for other machines too (dashboard_beyond_loopback) and asks them for nothing: name a \
         dashboard_token_file under [coordinator], and dashboard_cert and dashboard_key so that nobody reads the token on its way"
    )]
    NoToken {
        /// As in the settings.
        address: String,
    },
    /// The file of the token.
    #[error("dashboard_token_file: {0}")]
    Token(#[from] TokenError),
    /// Certificate or key.
    #[error("{} (dashboard_cert, dashboard_key): {problem}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No thread or event loop can be had.
    #[error("cannot start the dashboard: {0}")]
    Start(io::Error),
}

/// A page that is being served, in a thread of its own, until this is dropped.
#[derive(Debug)]
pub struct Dashboard {
    address: SocketAddr,
    views: watch::Sender<Option<Arc<FleetView>>>,
    watchers: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dashboard {
    /// Starts serving.
    ///
    /// # Errors
    /// See [`DashboardError`].
    pub fn start(listen: &Listen) -> Result<Self, DashboardError> {
        let acceptor = listen.identity.as_ref().map(Identity::acceptor).transpose()?;
        let socket = bind(listen)?;
        let address = socket.local_addr().map_err(DashboardError::Start)?;
        let access = listen.token.clone().map(Access::new).transpose().map_err(DashboardError::Start)?;
        let door = Door::new(access, !listen.beyond_loopback, acceptor.is_some(), address);
        let site = Site { socket, acceptor, door, listen: listen.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(DashboardError::Start)?;
        let (views, latest) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let watchers = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&watchers);
        let body = move || {
            runtime.block_on(server::serve(site, latest, counter, stopped));
            // Streams that are open end here.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("dashboard".to_owned()).spawn(body);
        let thread = Some(thread.map_err(DashboardError::Start)?);
        Ok(Self { address, views, watchers, stop: Some(stop), thread })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pages that are open.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Asks this coordinator for views from now on, in another thread.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn follow(&self, coordinator: Handle) -> Result<(), DashboardError> {
        let (views, watchers) = (self.views.clone(), Arc::clone(&self.watchers));
        let body = move || {
            // The server holds the other end until this is dropped.
            for time in (0..ASK.1).cycle().take_while(|_| !views.is_closed()) {
                if time == 0 || watchers.load(Ordering::Relaxed) > 0 {
                    // One that is busy or has ended says nothing: the last view stays.
                    coordinator.view().map(|view| views.send_replace(Some(Arc::new(view))));
                }
                std::thread::sleep(ASK.0);
            }
        };
        let thread = std::thread::Builder::new().name("dashboard-views".to_owned()).spawn(body);
        thread.map(drop).map_err(DashboardError::Start)
    }

    /// Shows this view from now on. Never waits for a client.
    pub fn show(&self, view: FleetView) {
        self.views.send_replace(Some(Arc::new(view)));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which it has said.
            let _ = thread.join();
        }
    }
}

fn bind(listen: &Listen) -> Result<TcpListener, DashboardError> {
    let address = &listen.address;
    let failed = |source| DashboardError::Bind { address: address.clone(), source };
    let found: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    if found.iter().any(|a| !a.ip().is_loopback()) {
        let address = address.clone();
        match (listen.beyond_loopback, &listen.token) {
            (false, _) => return Err(DashboardError::BeyondLoopback { address }),
            (true, None) => return Err(DashboardError::NoToken { address }),
            (true, Some(_)) => {}
        }
    }
    let socket = TcpListener::bind(&found[..]).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket)
}
