//! Orderly end of a daemon: a token that SIGINT or SIGTERM cancels.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that tells when to stop. Clones share the state; children are cancelled with their parent.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A token that nobody cancels but the caller.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that SIGINT and SIGTERM cancel; a second signal ends the process with status 1, as upstream does.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let token = shutdown.token.clone();
        crate::task::spawn("signals", async move {
            for round in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if round == 1 {
                    std::process::exit(1);
                }
                info!("Received termination signal");
                token.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Asks everyone who holds this token to stop.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until stopping is asked for.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }

    /// A token that ends with this one, or earlier.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// The underlying token.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}
