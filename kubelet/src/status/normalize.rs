//! One form for equal statuses, so that comparing them tells whether anything happened.
//!
//! upstream: pkg/kubelet/status/status_manager.go: normalizeStatus

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use crate::pod::status::whole_second;
use crate::pod::view::PodView;

/// Most bytes of all termination messages of a pod together.
const MESSAGES_BYTES_MAX: usize = 12 * 1024;

/// Cuts times to seconds and messages to their share, and sorts.
pub fn normalize(pod: &Pod, status: &mut PodStatus) {
    let count = pod.all_containers().len().max(1);
    let share = MESSAGES_BYTES_MAX / count;
    let lists =
        [&mut status.container_statuses, &mut status.init_container_statuses, &mut status.ephemeral_container_statuses];
    for one in lists.into_iter().flatten().flatten() {
        normalize_one(one, share);
    }
    let by_name = |list: &mut Option<Vec<ContainerStatus>>| {
        if let Some(list) = list {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
    };
    by_name(&mut status.container_statuses);
    by_name(&mut status.ephemeral_container_statuses);
}

fn normalize_one(one: &mut ContainerStatus, share: usize) {
    for state in [&mut one.state, &mut one.last_state].into_iter().flatten() {
        normalize_state(state, share);
    }
}

fn normalize_state(state: &mut ContainerState, share: usize) {
    if let Some(time) = state.running.as_mut().and_then(|running| running.started_at.as_mut()) {
        time.0 = whole_second(time.0);
    }
    if let Some(ended) = &mut state.terminated {
        for time in [&mut ended.started_at, &mut ended.finished_at].into_iter().flatten() {
            time.0 = whole_second(time.0);
        }
        if let Some(message) = ended.message.as_mut().filter(|message| message.len() > share) {
            let cut = (0..=share).rev().find(|index| message.is_char_boundary(*index)).unwrap_or(0);
            message.truncate(cut);
        }
    }
}
