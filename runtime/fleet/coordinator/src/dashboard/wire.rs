//! Bytes of a connection, encrypted or not.

use super::DashboardError;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Certificate and key (PEM) of the page.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, with those between it and its authority after it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Identity {
    /// What accepts encrypted connections with it.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, DashboardError> {
        let failed =
            |path: &Path, problem: String| DashboardError::Identity { path: path.to_owned(), problem };
        let pem = |path: &Path| {
            let path = path.to_owned();
            move |e: PemError| failed(&path, e.to_string())
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(pem(&self.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(pem(&self.key))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| failed(&self.certificate, e.to_string()))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A connection. The handshake takes place as it is first read, in the connection's own time.
pub(super) enum Wire {
    Plain(TcpStream),
    Beginning(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn new(stream: TcpStream, acceptor: Option<&TlsAcceptor>) -> Self {
        match acceptor {
            Some(acceptor) => Self::Beginning(Box::new(acceptor.accept(stream))),
            None => Self::Plain(stream),
        }
    }

    /// The stream once both sides agree.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Agreed<'_>>> {
        if let Self::Beginning(accept) = self {
            let stream = ready!(Pin::new(accept).poll(context))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(match self {
            Self::Plain(stream) => Ok(Agreed::Plain(Pin::new(stream))),
            Self::Tls(stream) => Ok(Agreed::Tls(Pin::new(stream))),
            Self::Beginning(_) => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

/// A stream that is there.
enum Agreed<'a> {
    Plain(Pin<&'a mut TcpStream>),
    Tls(Pin<&'a mut TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.poll_ready(context))? {
            Agreed::Plain(stream) => stream.poll_read(context, buffer),
            Agreed::Tls(stream) => stream.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_ready(context))? {
            Agreed::Plain(stream) => stream.poll_write(context, bytes),
            Agreed::Tls(stream) => stream.poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_ready(context))? {
            Agreed::Plain(stream) => stream.poll_flush(context),
            Agreed::Tls(stream) => stream.poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_ready(context))? {
            Agreed::Plain(stream) => stream.poll_shutdown(context),
            Agreed::Tls(stream) => stream.poll_shutdown(context),
        }
    }
}
