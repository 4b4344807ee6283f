//! The names that fields have in Go, which hashes and some messages show.

use super::Type;

/// Those that are not the name in JSON with a capital.
const NAMES: [(&str, &str); 69] = [
    ("apiGroup", "APIGroup"),
    ("apiGroups", "APIGroups"),
    ("apiVersion", "APIVersion"),
    ("apiVersions", "APIVersions"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("caBundle", "CABundle"),
    ("cel", "CEL"),
    ("cephfs", "CephFS"),
    ("chapAuthDiscovery", "DiscoveryCHAPAuth"),
    ("chapAuthSession", "SessionCHAPAuth"),
    ("cidr", "CIDR"),
    ("cidrs", "CIDRs"),
    ("csi", "CSI"),
    ("diskURI", "DataDiskURI"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("externalID", "DoNotUseExternalID"),
    ("fc", "FC"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("fsGroupPolicy", "FSGroupPolicy"),
    ("fsType", "FSType"),
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("gid", "GID"),
    ("gmsaCredentialSpec", "GMSACredentialSpec"),
    ("gmsaCredentialSpecName", "GMSACredentialSpecName"),
    ("grpc", "GRPC"),
    ("http", "HTTP"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("ipBlock", "IPBlock"),
    ("ipFamilies", "IPFamilies"),
    ("ipFamilyPolicy", "IPFamilyPolicy"),
    ("ipMode", "IPMode"),
    ("ips", "IPs"),
    ("iqn", "IQN"),
    ("iscsi", "ISCSI"),
    ("iscsiInterface", "ISCSIInterface"),
    ("jsonPatch", "JSONPatch"),
    ("lastState", "LastTerminationState"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("osImage", "OSImage"),
    ("pdName", "PDName"),
    ("qosClass", "QOSClass"),
    ("rbd", "RBD"),
    ("reportingComponent", "ReportingController"),
    ("seLinuxChangePolicy", "SELinuxChangePolicy"),
    ("seLinuxMount", "SELinuxMount"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("sslEnabled", "SSLEnabled"),
    ("storageos", "StorageOS"),
    ("tcpSocket", "TCPSocket"),
    ("tls", "TLS"),
    ("ttlSecondsAfterFinished", "TTLSecondsAfterFinished"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("url", "URL"),
    ("wwids", "WWIDs"),
    // Names that only some types have.
    ("DeviceAttribute.bool", "BoolValue"),
    ("DeviceAttribute.bools", "BoolValues"),
    ("DeviceAttribute.int", "IntValue"),
    ("DeviceAttribute.ints", "IntValues"),
    ("DeviceAttribute.string", "StringValue"),
    ("DeviceAttribute.strings", "StringValues"),
    ("DeviceAttribute.version", "VersionValue"),
    ("DeviceAttribute.versions", "VersionValues"),
    ("PodSpec.serviceAccount", "DeprecatedServiceAccount"),
];

/// Names within the sources of Ceph and Gluster volumes.
const VOLUME_NAMES: [(&str, &str, &str); 5] = [
    ("RBD", "monitors", "CephMonitors"),
    ("RBD", "image", "RBDImage"),
    ("RBD", "pool", "RBDPool"),
    ("RBD", "user", "RadosUser"),
    ("Glusterfs", "endpoints", "EndpointsName"),
];

impl Type {
    /// The name in Go of a field that is not embedded.
    pub fn go_field_name(&self, json_name: &str) -> String {
        let short = self.go_name();
        let volume = VOLUME_NAMES.iter().find(|(kind, name, _)| short.starts_with(kind) && *name == json_name);
        if let Some((_, _, go)) = volume {
            return (*go).to_owned();
        }
        let is_it = |known: &str| match known.split_once('.') {
            Some((of, name)) => of == short && name == json_name,
            None => known == json_name,
        };
        if let Some((_, go)) = NAMES.iter().find(|(known, _)| is_it(known)) {
            return (*go).to_owned();
        }
        let mut chars = json_name.chars();
        let first = chars.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(chars).collect()
    }
}
