//! The scheduling framework: extension points, verdicts, cycle state, cluster events, profiles.
//! Plugins are synchronous and borrow; only the points around binding return futures. upstream: pkg/scheduler/framework

mod diagnosis;
mod event;
mod handle;
mod plugin;
mod profile;
mod state;
mod verdict;

pub use diagnosis::{Diagnosis, FitError};
pub use event::{ActionType, Change, ClusterEvent, EventResource, node_events, pod_events};
pub use handle::{Handle, Listers, Nominations};
pub use plugin::{
    BindFuture, BindPoint, EnqueueExtensions, Extensions, Filter, FilterScope, Interest, MAX_NODE_SCORE, Permit,
    Plugin, PostBind, PostFilter, PostFilterOutcome, PreBind, PreEnqueue, PreFilter, PreFilterOutcome, PreScore,
    PreScoreOutcome, QueueSort, Reserve, Score, SortKey, default_normalize,
};
pub(crate) use profile::FITS;
pub use profile::{NodeScore, Point, Profile, Weighted};
pub use state::{ChosenNode, CycleState};
pub use verdict::{PluginError, Reasons, Rejection, Verdict};
