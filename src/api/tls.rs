//! TLS with a certificate and a key from files, which may be replaced at any time.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` holds no {what} in PEM form")]
    /// Without its source, which may repeat a line of the key.
    Pem { path: PathBuf, what: &'static str },
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What a server shows to its clients: a chain of certificates, and the key of the first of them.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    files: Files,
    acceptor: TlsAcceptor,
}

/// What both files hold, as bytes.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.shared.certificate.display())
    }
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files::read(certificate, key)?;
        let acceptor = files.acceptor(certificate, key)?;
        let current = Mutex::new(Current { files, acceptor });
        let shared = Shared { certificate: certificate.into(), key: key.into(), current };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes the files over when they differ from what is in use; `false`: they do not. Connections that
    /// are open go on with what they began with.
    ///
    /// # Errors
    /// [`TlsError`]; what is in use stays then.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Shared { certificate, key, current } = &*self.shared;
        let files = Files::read(certificate, key)?;
        if current.lock().unwrap_or_else(PoisonError::into_inner).files == files {
            return Ok(false);
        }
        let acceptor = files.acceptor(certificate, key)?;
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Current { files, acceptor };
        Ok(true)
    }

    /// Looks at the files again and again.
    pub(super) async fn keep_up(self) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            let outcome = tokio::task::spawn_blocking(move || tls.reload()).await;
            let problem = match outcome.expect("reading files does not panic") {
                Ok(changed) => {
                    if changed {
                        tracing::info!("the certificate was replaced");
                    }
                    String::new()
                }
                Err(error) => error.to_string(),
            };
            if problem != told && !problem.is_empty() {
                tracing::warn!(problem, "the certificate is not replaced; the one before stays");
            }
            told = problem;
        }
    }

    /// The handshake of one connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = {
            let current = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner);
            current.acceptor.clone()
        };
        acceptor.accept(stream).await
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.into(), source })
        };
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn acceptor(&self, certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
        let bad = |path: &Path, what| TlsError::Pem { path: path.into(), what };
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| bad(certificate, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| bad(key, "key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
