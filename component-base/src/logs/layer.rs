//! The tracing layer: decides what is heard and hands events to the writer.

use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;

use super::{settings, write};

/// Crates of this workspace; others are foreign.
const OURS: [&str; 9] = [
    "apimachinery",
    "component_base",
    "cri_api",
    "kube_apiserver",
    "kube_controller_manager",
    "kube_scheduler",
    "kubelet",
    "kube_proxy",
    "kubectl",
];

pub(super) struct KlogLayer;

fn needed_verbosity(metadata: &Metadata<'_>) -> i32 {
    let root = metadata.target().split("::").next().unwrap_or_default();
    let ours = OURS.contains(&root);
    match *metadata.level() {
        Level::ERROR | Level::WARN => 0,
        _ if !ours => 9,
        Level::INFO => 0,
        Level::DEBUG => 4,
        Level::TRACE => 6,
    }
}

fn is_heard(metadata: &Metadata<'_>) -> bool {
    let needed = needed_verbosity(metadata);
    needed == 0 || settings().level_for(metadata.file().unwrap_or_default()) >= needed
}

impl<S: Subscriber> Layer<S> for KlogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && is_heard(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && is_heard(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match settings().highest() {
            ..4 => LevelFilter::INFO,
            4..6 => LevelFilter::DEBUG,
            6.. => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        write::event(event);
    }
}
