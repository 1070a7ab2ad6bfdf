//! Who exports: the resource of OpenTelemetry.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{attribute, percent, random};

/// The container that an injected proxy runs in.
const CONTAINER: &str = "slipstream-proxy";

/// Who this is, from the environment: what somebody says explicitly, then what the pod says of itself. `service_name` is the configuration file's.
///
/// Order for `service.name`: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, the file, the workload that owns the pod. An operator that knows the
/// annotations and labels of the pod says what follows from them in `OTEL_SERVICE_NAME`.
pub fn resource(get: impl Fn(&str) -> Option<String>, service_name: Option<&str>) -> (Resource, Vec<String>) {
    let get = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut warnings = Vec::new();
    let mut attributes = said(get("OTEL_RESOURCE_ATTRIBUTES"), &mut warnings);
    if let Some(name) = get("OTEL_SERVICE_NAME") {
        attributes.insert("service.name".to_owned(), name);
    }
    let mut derived = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            attributes.entry(key.to_owned()).or_insert(value);
        }
    };
    let (namespace, pod) = (get("SLIPSTREAM_POD_NAMESPACE"), get("SLIPSTREAM_POD_NAME"));
    derived("service.name", service_name.map(str::to_owned));
    derived("service.name", get("SLIPSTREAM_WORKLOAD"));
    derived("service.name", Some("unknown_service:slipstream-proxy".to_owned()));
    derived("service.namespace", namespace.clone());
    let in_pod = namespace.as_ref().zip(pod.as_ref()).map(|(namespace, pod)| format!("{namespace}.{pod}.{CONTAINER}"));
    derived("service.instance.id", in_pod.clone().or_else(random::uuid));
    derived("k8s.namespace.name", namespace);
    derived("k8s.deployment.name", deployment(pod.as_deref(), get("SLIPSTREAM_WORKLOAD").as_deref()));
    derived("k8s.pod.name", pod);
    derived("k8s.pod.uid", get("SLIPSTREAM_POD_UID"));
    derived("k8s.node.name", get("SLIPSTREAM_NODE_NAME"));
    derived("k8s.container.name", in_pod.map(|_| CONTAINER.to_owned()));
    for (key, value) in [
        ("telemetry.sdk.name", "slipstream"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        attributes.insert(key.to_owned(), value.to_owned());
    }
    let attributes = attributes.iter().map(|(key, value)| attribute(key, value.as_str())).collect();
    (Resource { attributes, ..Resource::default() }, warnings)
}

/// The workload, where the pod has its name as a Deployment's pods have it: `<deployment>-<hash of its template>-<five letters or digits>`.
fn deployment(pod: Option<&str>, workload: Option<&str>) -> Option<String> {
    let workload = workload?;
    let (template, own) = pod?.strip_prefix(workload)?.strip_prefix('-')?.split_once('-')?;
    let is_random = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_such = (6..=10).contains(&template.len()) && own.len() == 5 && is_random(template) && is_random(own);
    is_such.then(|| workload.to_owned())
}

/// `OTEL_RESOURCE_ATTRIBUTES`. What cannot be read is discarded as a whole (Resource SDK, "Specifying resource information via an environment variable").
fn said(text: Option<String>, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let members = text.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|member| !member.is_empty());
    let pairs = members.map(|member| {
        let (key, value) = member.split_once('=')?;
        let (key, value) = (percent::decoded(key.trim())?, percent::decoded(value.trim())?);
        (!key.is_empty()).then_some((key, value))
    });
    pairs.collect::<Option<_>>().unwrap_or_else(|| {
        let allowed = "KEY=VALUE,KEY=VALUE with %2C for a comma in a value";
        warnings.push(format!("OTEL_RESOURCE_ATTRIBUTES: it cannot be read, allowed: {allowed}; it is left out"));
        BTreeMap::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    fn of(variables: &[(&str, &str)], file: Option<&str>) -> (BTreeMap<String, String>, usize) {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let (resource, warnings) = resource(get, file);
        let attributes =
            resource.attributes.into_iter().map(|attribute| match attribute.value.and_then(|any| any.value) {
                Some(Value::StringValue(text)) => (attribute.key, text),
                other => panic!("{}: {other:?}", attribute.key),
            });
        (attributes.collect(), warnings.len())
    }

    const POD: [(&str, &str); 5] = [
        ("SLIPSTREAM_POD_NAMESPACE", "shop"),
        ("SLIPSTREAM_POD_NAME", "web-1"),
        ("SLIPSTREAM_POD_UID", "uid"),
        ("SLIPSTREAM_NODE_NAME", "node"),
        ("SLIPSTREAM_WORKLOAD", "web"),
    ];

    #[test]
    fn a_pod_says_who_it_is() {
        let (attributes, _) = of(&POD, None);
        for (key, value) in [
            ("service.name", "web"),
            ("service.namespace", "shop"),
            ("service.instance.id", "shop.web-1.slipstream-proxy"),
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "web-1"),
            ("k8s.pod.uid", "uid"),
            ("k8s.node.name", "node"),
            ("k8s.container.name", "slipstream-proxy"),
        ] {
            assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn a_deployments_pod_is_known_by_its_name() {
        for (pod, workload, is_deployments) in [
            ("web-7d4b9c8f6d-x2k9p", "web", true),
            ("web-api-7d4b9c8f6d-x2k9p", "web-api", true),
            ("web-0", "web", false),
            ("web-x2k9p", "web", false),
            ("web-7d4b9c8f6d-x2k9p", "api", false),
        ] {
            let pod = [("SLIPSTREAM_POD_NAME", pod), ("SLIPSTREAM_WORKLOAD", workload)];
            let found = of(&pod, None).0.get("k8s.deployment.name").cloned();
            assert_eq!(found, is_deployments.then(|| workload.to_owned()), "{pod:?}");
        }
    }

    #[test]
    fn names_come_in_their_order() {
        let name = |more: &[(&str, &str)], file| of(&[more, &POD].concat(), file).0["service.name"].clone();
        let said = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=said,service.version=1%2C2");
        assert_eq!(name(&[("OTEL_SERVICE_NAME", "first"), said], Some("file")), "first");
        assert_eq!(name(&[said], Some("file")), "said");
        assert_eq!(name(&[], Some("file")), "file");
        assert_eq!(name(&[], None), "web");
        assert_eq!(of(&[], None).0["service.name"], "unknown_service:slipstream-proxy");
        assert_eq!(of(&[said], None).0["service.version"], "1,2");
    }

    #[test]
    fn outside_a_pod_each_process_has_a_name_of_its_own() {
        let instance = || of(&[], None).0["service.instance.id"].clone();
        assert_ne!(instance(), instance());
        assert!(!of(&[], None).0.contains_key("k8s.container.name"));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_as_a_whole_and_said() {
        for text in ["a=1,b", "=1", "a=%zz"] {
            let (attributes, warnings) = of(&[("OTEL_RESOURCE_ATTRIBUTES", text)], None);
            assert_eq!((attributes.contains_key("a"), warnings), (false, 1), "{text}");
        }
    }
}
