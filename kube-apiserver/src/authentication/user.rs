//! Who a request comes from, once authenticated.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/user/user.go

use std::collections::BTreeMap;

/// Group of every user that showed some valid credential.
pub const ALL_AUTHENTICATED: &str = "system:authenticated";
/// Group of requests without credentials.
pub const ALL_UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of the user without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Members of this group may do everything.
pub const MASTERS: &str = "system:masters";
/// Group of all nodes' kubelets.
pub const NODES: &str = "system:nodes";
/// Name prefix of a node's kubelet.
pub const NODE_USER_PREFIX: &str = "system:node:";
/// Name prefix of service accounts: `system:serviceaccount:NAMESPACE:NAME`.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// Group of all service accounts; with `:NAMESPACE` appended, of those in a namespace.
pub const SERVICE_ACCOUNTS_GROUP: &str = "system:serviceaccounts";
/// Extra key that says which credential was shown.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Unique name.
    pub name: String,
    /// UID, empty if the authenticator knows none.
    pub uid: String,
    /// Group memberships, in the authenticator's order.
    pub groups: Vec<String>,
    /// Further attributes by key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user with a name and groups only.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        Self { name: name.into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..Self::default() }
    }

    /// The user without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[ALL_UNAUTHENTICATED])
    }

    /// The apiserver itself, when it writes its own objects.
    pub fn loopback() -> Self {
        Self::new("system:apiserver", &[MASTERS, ALL_AUTHENTICATED])
    }

    /// True if the user is a member of the group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node name if this is a kubelet: a `system:node:` name and membership in `system:nodes`.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix(NODE_USER_PREFIX)?;
        self.in_group(NODES).then_some(name)
    }

    /// Adds the group of authenticated users unless the user is anonymous or already has it.
    /// upstream: staging/src/k8s.io/apiserver/pkg/authentication/group/authenticated_group_adder.go
    #[must_use]
    pub fn with_authenticated_group(mut self) -> Self {
        let excluded = self.name == ANONYMOUS || self.in_group(ALL_AUTHENTICATED) || self.in_group(ALL_UNAUTHENTICATED);
        if !excluded {
            self.groups.push(ALL_AUTHENTICATED.to_owned());
        }
        self
    }
}

/// Full user name of a service account.
pub fn service_account_username(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Groups that every service account of a namespace has.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![SERVICE_ACCOUNTS_GROUP.to_owned(), format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}")]
}

/// Splits a service account's user name into namespace and name.
pub fn split_service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let valid = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    valid.then_some((namespace, name))
}
