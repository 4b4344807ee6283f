//! Where upstream's internal types differ from the published ones: names of fields, and their order.
//! upstream: pkg/apis/*/types.go

use apimachinery::schema::{self, Field, Type};

/// Names of Go that are not the name in JSON with a capital.
const NAMES: [(&str, &str); 68] = [
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
];

/// Names within the sources of Ceph and Gluster volumes.
const VOLUME_NAMES: [(&str, &str, &str); 5] = [
    ("RBD", "monitors", "CephMonitors"),
    ("RBD", "image", "RBDImage"),
    ("RBD", "pool", "RBDPool"),
    ("RBD", "user", "RadosUser"),
    ("Glusterfs", "endpoints", "EndpointsName"),
];

/// Types whose fields have another order, or are not the same: the names in JSON.
const ORDERS: [(&str, &str); 13] = [
    (
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "paramKind matchConstraints validations matchConditions failurePolicy auditAnnotations variables",
    ),
    ("io.k8s.api.autoscaling.v2.ContainerResourceMetricSource", "name container target"),
    ("io.k8s.api.autoscaling.v2.ContainerResourceMetricStatus", "name container current"),
    (
        "io.k8s.api.batch.v1.JobSpec",
        "parallelism completions podFailurePolicy successPolicy activeDeadlineSeconds backoffLimit backoffLimitPerIndex maxFailedIndexes selector manualSelector template ttlSecondsAfterFinished completionMode suspend podReplacementPolicy managedBy",
    ),
    (
        "io.k8s.api.batch.v1.JobStatus",
        "conditions startTime completionTime active terminating ready succeeded failed completedIndexes failedIndexes uncountedTerminatedPods",
    ),
    ("io.k8s.api.core.v1.NodeSpec", "podCIDRs providerID unschedulable taints configSource externalID"),
    (
        "io.k8s.api.core.v1.PersistentVolumeSpec",
        "capacity gcePersistentDisk awsElasticBlockStore hostPath glusterfs nfs rbd quobyte iscsi flexVolume cinder cephfs fc flocker azureFile vsphereVolume azureDisk photonPersistentDisk portworxVolume scaleIO local storageos csi accessModes claimRef persistentVolumeReclaimPolicy storageClassName mountOptions volumeMode nodeAffinity volumeAttributesClassName",
    ),
    (
        "io.k8s.api.core.v1.PersistentVolumeSource",
        "gcePersistentDisk awsElasticBlockStore hostPath glusterfs nfs rbd quobyte iscsi flexVolume cinder cephfs fc flocker azureFile vsphereVolume azureDisk photonPersistentDisk portworxVolume scaleIO local storageos csi",
    ),
    (
        "io.k8s.api.core.v1.PodSecurityContext",
        "hostNetwork hostPID hostIPC shareProcessNamespace hostUsers seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup fsGroupChangePolicy sysctls seccompProfile appArmorProfile seLinuxChangePolicy",
    ),
    (
        "io.k8s.api.core.v1.PodSpec",
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName automountServiceAccountToken nodeName securityContext imagePullSecrets hostname subdomain setHostnameAsFQDN affinity schedulerName tolerations hostAliases priorityClassName priority preemptionPolicy dnsConfig readinessGates runtimeClassName overhead enableServiceLinks topologySpreadConstraints os schedulingGates resourceClaims resources hostnameOverride schedulingGroup",
    ),
    (
        "io.k8s.api.core.v1.ServiceSpec",
        "type ports selector clusterIP clusterIPs ipFamilies ipFamilyPolicy externalName externalIPs loadBalancerIP sessionAffinity sessionAffinityConfig loadBalancerSourceRanges externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution",
    ),
    (
        "io.k8s.api.core.v1.Volume",
        "name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs persistentVolumeClaim rbd quobyte flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume azureDisk photonPersistentDisk projected portworxVolume scaleIO storageos csi ephemeral image",
    ),
    (
        "io.k8s.api.storage.v1.CSIDriverSpec",
        "attachRequired fsGroupPolicy podInfoOnMount volumeLifecycleModes storageCapacity tokenRequests requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds serviceAccountTokenInSecrets preventPodSchedulingIfMissing",
    ),
];

/// What a pod says of the host, which upstream's internal types have in the security context.
pub(super) const HOST_FIELDS: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
/// The type that has them.
pub(super) const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";

/// The fields of a type in upstream's order.
pub(super) fn fields(ty: &Type) -> Vec<&Field> {
    let Some((_, order)) = ORDERS.iter().find(|(name, _)| *name == &*ty.name) else {
        return ty.fields.iter().collect();
    };
    order.split(' ').filter_map(|name| find(ty, name).or_else(|| host_field(name))).collect()
}

fn find<'a>(ty: &'a Type, name: &str) -> Option<&'a Field> {
    ty.fields.iter().find(|field| *field.json_name == *name)
}

fn host_field(name: &str) -> Option<&'static Field> {
    HOST_FIELDS.contains(&name).then(|| schema::type_by_name(POD_SPEC)).flatten().and_then(|ty| find(ty, name))
}

/// The name in Go of a field.
pub(super) fn go_name(ty: &Type, json_name: &str) -> String {
    let short = ty.name.rsplit('.').next().unwrap_or_default();
    let volume = VOLUME_NAMES.iter().find(|(kind, name, _)| short.starts_with(kind) && *name == json_name);
    if let Some((_, _, go)) = volume {
        return (*go).to_owned();
    }
    let qualified = format!("{short}.{json_name}");
    if let Some((_, go)) = NAMES.iter().find(|(known, _)| *known == json_name || *known == qualified) {
        return (*go).to_owned();
    }
    let mut chars = json_name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
