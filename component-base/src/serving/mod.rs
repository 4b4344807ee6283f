//! The HTTPS server of a daemon: health, metrics, configuration, with delegated authentication and authorization.
