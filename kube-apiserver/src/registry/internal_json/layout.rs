//! Where upstream's internal types differ from the published ones: the order of fields, and some of the fields.
//! upstream: pkg/apis/*/types.go

use apimachinery::schema::{self, Field, Type};

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
