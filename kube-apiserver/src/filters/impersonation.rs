//! `Impersonate-*` headers: acting as somebody else, if allowed to.
//!
//! Tries the constrained modes first (verbs `impersonate-on:MODE:VERB` and `impersonate:MODE`), then the
//! classic verb `impersonate`; the first error is what the client sees.
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation

use std::fmt::Write;

use apimachinery::quote::{quote, quote_slice};
use apimachinery::status::ApiError;
use component_base::serving::extra_values;
use http::HeaderMap;

use crate::authentication::user::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, NODE_USER_PREFIX, NODES, UserInfo,
    service_account_groups, split_service_account,
};
use crate::authorization::{Attributes, Authorizer, Decision};

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";
const NODE_NAME_EXTRA: &str = "authentication.kubernetes.io/node-name";

/// The user that the headers ask for; removes the headers. `None` if they ask for nobody.
///
/// # Errors
/// 400 if other headers come without a user name.
pub fn wanted(headers: &mut HeaderMap) -> Result<Option<UserInfo>, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let user = UserInfo {
        name: text(USER),
        uid: text(UID),
        groups: headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect(),
        extra: extra_values(headers, &[EXTRA_PREFIX.to_owned()]),
    };
    if user.name.is_empty() {
        if user.uid.is_empty() && user.groups.is_empty() && user.extra.is_empty() {
            return Ok(None);
        }
        return Err(ApiError::bad_request(format!("requested {} without impersonating a user name", go_syntax(&user))));
    }
    let ours: Vec<_> = headers
        .keys()
        .filter(|k| matches!(k.as_str(), USER | UID | GROUP) || k.as_str().starts_with(EXTRA_PREFIX))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    Ok(Some(user))
}

/// The modes in upstream's order; the last is the classic one.
const MODES: [&str; 5] = ["associated-node", "arbitrary-node", "serviceaccount", "user-info", LEGACY];
const LEGACY: &str = "legacy";
/// So many requestors are remembered.
const REMEMBERED: usize = 10_000;

/// Which mode last worked for a requestor: it is tried first, and decides which groups are implied.
#[derive(Debug, Default)]
pub struct LastModes(parking_lot::Mutex<std::collections::HashMap<Box<str>, usize>>);

impl LastModes {
    fn get(&self, requestor: &str) -> Option<usize> {
        self.0.lock().get(requestor).copied()
    }

    fn set(&self, requestor: &str, mode: usize) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED {
            // what is forgotten costs one more check
            known.clear();
        }
        known.insert(requestor.into(), mode);
    }
}

/// The impersonated user with its implied groups.
///
/// # Errors
/// 403 of the first mode that applied.
pub async fn authorize(
    authorizer: &Authorizer,
    last: &LastModes,
    request: &Attributes,
    wanted: &UserInfo,
) -> Result<UserInfo, ApiError> {
    let known = last.get(&request.user.name);
    let mut first = None;
    let others = (0..MODES.len()).filter(|index| Some(*index) != known);
    for index in known.into_iter().chain(others) {
        match attempt(authorizer, request, wanted, MODES[index]).await {
            None => {}
            Some(Ok(user)) => {
                if known != Some(index) {
                    last.set(&request.user.name, index);
                }
                return Ok(user);
            }
            Some(Err(error)) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| ApiError::internal("all impersonation modes failed")))
}

/// `None`: the mode is not for such a user.
async fn attempt(
    authorizer: &Authorizer,
    request: &Attributes,
    wanted: &UserInfo,
    mode: &str,
) -> Option<Result<UserInfo, ApiError>> {
    if mode == LEGACY {
        let legacy =
            Check { authorizer, requestor: &request.user, verb: "impersonate", constrained: false, any_node: false };
        return Some(legacy.run(wanted).await);
    }
    if !applies(mode, wanted, &request.user) {
        return None;
    }
    Some(constrained(authorizer, request, wanted, mode).await)
}

async fn constrained(
    authorizer: &Authorizer,
    request: &Attributes,
    wanted: &UserInfo,
    mode: &str,
) -> Result<UserInfo, ApiError> {
    let on = Attributes { verb: format!("impersonate-on:{mode}:{}", request.verb), ..request.clone() };
    check(authorizer, &on).await?;
    let verb = format!("impersonate:{mode}");
    let step = Check {
        authorizer,
        requestor: &request.user,
        verb: &verb,
        constrained: true,
        any_node: mode == "associated-node",
    };
    step.run(wanted).await
}

fn applies(mode: &str, wanted: &UserInfo, requestor: &UserInfo) -> bool {
    let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
    let node = wanted.name.strip_prefix(NODE_USER_PREFIX).filter(|n| !n.is_empty());
    let account = split_service_account(&wanted.name);
    match mode {
        "associated-node" => {
            let own = requestor.extra.get(NODE_NAME_EXTRA).and_then(|names| match names.as_slice() {
                [one] => Some(one.as_str()),
                _ => None,
            });
            only_name && node.is_some() && own == node && split_service_account(&requestor.name).is_some()
        }
        "arbitrary-node" => only_name && node.is_some(),
        "serviceaccount" => only_name && account.is_some(),
        _ => node.is_none() && account.is_none(),
    }
}

/// One way of asking for a user: a verb, and whether the constrained rules hold.
struct Check<'a> {
    authorizer: &'a Authorizer,
    requestor: &'a UserInfo,
    verb: &'a str,
    constrained: bool,
    any_node: bool,
}

impl Check<'_> {
    async fn run(&self, wanted: &UserInfo) -> Result<UserInfo, ApiError> {
        let mut actual = wanted.clone();
        self.name(wanted, &mut actual).await?;
        if !wanted.uid.is_empty() {
            check(self.authorizer, &self.ask(AUTHENTICATION_GROUP, "uids", &wanted.uid)).await?;
        }
        self.groups(&wanted.groups).await?;
        self.extra(wanted).await?;
        let implied = if actual.name == ANONYMOUS {
            ALL_UNAUTHENTICATED
        } else if actual.in_group(ALL_UNAUTHENTICATED) {
            return Ok(actual);
        } else {
            ALL_AUTHENTICATED
        };
        if !actual.in_group(implied) {
            actual.groups.push(implied.to_owned());
        }
        Ok(actual)
    }

    async fn name(&self, wanted: &UserInfo, actual: &mut UserInfo) -> Result<(), ApiError> {
        let mut ask = self.ask(self.name_group(), "users", &wanted.name);
        let mut noun = "";
        if self.constrained
            && let Some(node) = wanted.name.strip_prefix(NODE_USER_PREFIX).filter(|n| !n.is_empty())
        {
            ask.resource = "nodes".to_owned();
            ask.name = if self.any_node { "*" } else { node }.to_owned();
            noun = "node";
            actual.groups = vec![NODES.to_owned()];
        }
        if let Some((namespace, name)) = split_service_account(&wanted.name) {
            ask.resource = "serviceaccounts".to_owned();
            ask.namespace = namespace.to_owned();
            ask.name = name.to_owned();
            noun = "service account";
            if wanted.groups.is_empty() {
                actual.groups = service_account_groups(namespace);
            }
        }
        if self.constrained && !noun.is_empty() && !wanted.groups.is_empty() {
            return Err(ask.forbidden(&format!(
                "when impersonating a {noun}, cannot impersonate groups {}",
                quote_slice(&wanted.groups)
            )));
        }
        check(self.authorizer, &ask).await
    }

    async fn groups(&self, groups: &[String]) -> Result<(), ApiError> {
        if self.constrained && groups.iter().any(String::is_empty) {
            let ask = self.ask(self.name_group(), "groups", "");
            return Err(ask.forbidden("impersonating the empty string group is not allowed"));
        }
        if self.constrained && groups.iter().any(|g| g == MASTERS) {
            let ask = self.ask(self.name_group(), "groups", MASTERS);
            return Err(ask.forbidden("impersonating the system:masters group is not allowed"));
        }
        for group in groups {
            check(self.authorizer, &self.ask(self.name_group(), "groups", group)).await?;
        }
        Ok(())
    }

    async fn extra(&self, wanted: &UserInfo) -> Result<(), ApiError> {
        for (key, values) in &wanted.extra {
            for value in values {
                let mut ask = self.ask(AUTHENTICATION_GROUP, "userextras", value);
                ask.subresource.clone_from(key);
                check(self.authorizer, &ask).await?;
            }
        }
        Ok(())
    }

    fn name_group(&self) -> &'static str {
        if self.constrained { AUTHENTICATION_GROUP } else { "" }
    }

    fn ask(&self, group: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            user: self.requestor.clone(),
            verb: self.verb.to_owned(),
            resource_request: true,
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }
}

async fn check(authorizer: &Authorizer, ask: &Attributes) -> Result<(), ApiError> {
    match authorizer.authorize(ask).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(ask.forbidden(&reason)),
    }
}

/// The user as Go's `%#v` prints `*user.DefaultInfo`.
fn go_syntax(user: &UserInfo) -> String {
    let mut out = format!("&user.DefaultInfo{{Name:{}, UID:{}, Groups:", quote(&user.name), quote(&user.uid));
    out.push_str(&go_strings(&user.groups));
    out.push_str(", Extra:map[string][]string");
    if user.extra.is_empty() {
        out.push_str("(nil)}");
        return out;
    }
    let entries: Vec<String> = user.extra.iter().map(|(k, v)| format!("{}:{}", quote(k), go_strings(v))).collect();
    // writing to a string cannot fail
    let _ = write!(out, "{{{}}}}}", entries.join(", "));
    out
}

fn go_strings(list: &[String]) -> String {
    if list.is_empty() {
        return "[]string(nil)".to_owned();
    }
    let items: Vec<String> = list.iter().map(|s| quote(s)).collect();
    format!("[]string{{{}}}", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_users_as_go_does() {
        let mut user = UserInfo { groups: vec!["g".into()], ..UserInfo::default() };
        assert_eq!(
            go_syntax(&user),
            r#"&user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)}"#
        );
        user.groups.clear();
        user.extra.insert("a".into(), vec!["b".into()]);
        assert_eq!(
            go_syntax(&user),
            r#"&user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"b"}}}"#
        );
    }
}
