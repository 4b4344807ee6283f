//! Probes, lifecycle handlers and stop signals.

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use super::Scope;
use crate::registry::validation::{not_negative, one_of, port_or_name, required};

/// The probes and the lifecycle of a container that may have some.
pub(super) fn of_container(container: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    lifecycle(container.field("lifecycle"), scope, errs);
    probe(container.field("livenessProbe"), true, scope, errs);
    let ready = container.field("readinessProbe");
    probe(ready, false, scope, errs);
    let grace = ready.field("terminationGracePeriodSeconds");
    if grace.exists() {
        errs.invalid(grace, grace.i64(), "must not be set for readinessProbes");
    }
    probe(container.field("startupProbe"), true, scope, errs);
}

/// upstream: validateProbe
fn probe(probe: Cursor<'_>, succeeds_once: bool, scope: &Scope<'_>, errs: &mut Errors) {
    if !probe.exists() {
        return;
    }
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], scope, errs);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        not_negative(probe.field(field), errs);
    }
    let (grace, successes) = (probe.field("terminationGracePeriodSeconds"), probe.field("successThreshold"));
    if grace.opt_i64().is_some_and(|grace| grace <= 0) {
        errs.invalid(grace, grace.i64(), "must be greater than 0");
    }
    if succeeds_once && successes.i64() != 1 {
        errs.invalid(successes, successes.i64(), "must be 1");
    }
}

/// upstream: validateHandler
fn handler(place: Cursor<'_>, kinds: &[&'static str], scope: &Scope<'_>, errs: &mut Errors) {
    let mut given = kinds.iter().map(|kind| (*kind, place.field(kind))).filter(|(_, action)| action.exists());
    match given.next() {
        None => errs.required(place, "must specify a handler type"),
        Some(("exec", action)) => required(action.field("command"), errs),
        Some(("httpGet", action)) => http_get(action, errs),
        Some(("sleep", action)) => sleep(action, scope, errs),
        Some((_, action)) => port_or_name(action.field("port"), errs),
    }
    for (_, action) in given {
        errs.forbidden(action, "may not specify more than 1 handler type");
    }
}

/// upstream: validateHTTPGetAction
fn http_get(action: Cursor<'_>, errs: &mut Errors) {
    required(action.field("path"), errs);
    port_or_name(action.field("port"), errs);
    one_of(action.field("scheme"), &["HTTP", "HTTPS"], errs);
    let headers = action.field("httpHeaders");
    for name in headers.list().map(|header| header.field("name").str()) {
        errs.invalid_each(headers, name, names::http_header_name(name));
    }
}

/// upstream: validateSleepAction
fn sleep(action: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    let seconds = action.field("seconds").i64();
    if let Some(grace) = scope.spec.field("terminationGracePeriodSeconds").opt_i64()
        && !(0..=grace).contains(&seconds)
    {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errs.invalid(action, seconds, why);
    }
}

/// upstream: validateLifecycle
fn lifecycle(lifecycle: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    for hook in ["postStart", "preStop"].map(|h| lifecycle.field(h)).into_iter().filter(|h| h.exists()) {
        handler(hook, &["exec", "httpGet", "tcpSocket", "sleep"], scope, errs);
    }
    let signal = lifecycle.field("stopSignal");
    match scope.os() {
        _ if !signal.exists() => {}
        None => errs.forbidden(signal, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") => one_of(signal, &["SIGKILL", "SIGTERM"], errs),
        Some("linux") => one_of(signal, &LINUX_SIGNALS, errs),
        Some(_) => {}
    }
}

const LINUX_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
