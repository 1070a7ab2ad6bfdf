use super::*;

fn read_from(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
    read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

fn url(target: Option<&Target>) -> String {
    target.map(|target| target.url.to_string()).unwrap_or_default()
}

#[test]
fn without_an_endpoint_nothing_is_exported_and_nothing_is_wrong() {
    let (settings, warnings) = read_from(&[]);
    assert_eq!((settings.traces, settings.metrics, settings.logs, warnings), (None, None, None, Vec::new()));
    assert_eq!((settings.sampler, settings.propagators), (Sampler::DEFAULT, Propagators::DEFAULT));
    assert_eq!(settings.batches.spans, Batch { queue_max: 2048, size: 512, delay: Duration::from_secs(5) });
    assert_eq!(settings.batches.records.delay, Duration::from_secs(1));
    let (empty, warnings) = read_from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " "), ("OTEL_TRACES_SAMPLER", "")]);
    assert_eq!((empty.traces, empty.sampler, warnings), (None, Sampler::DEFAULT, Vec::new()));
}

#[test]
fn one_endpoint_is_for_all_signals_and_a_signals_own_comes_first() {
    let (settings, warnings) = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://m/own"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
    ]);
    assert_eq!(url(settings.traces.as_ref()), "http://c:4318/base/v1/traces");
    assert_eq!(url(settings.metrics.as_ref()), "https://m:443/own");
    assert_eq!(url(settings.logs.as_ref()), "http://c:4318/opentelemetry.proto.collector.logs.v1.LogsService/Export");
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn grpc_takes_an_endpoint_without_scheme() {
    for (insecure, is_tls) in [("true", false), ("false", true), ("", true)] {
        let (settings, _) = read_from(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c"),
            ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
        ]);
        let target = settings.traces.expect("it has an endpoint");
        assert_eq!((target.url.is_tls, target.url.port), (is_tls, 4317), "{insecure}");
    }
}

#[test]
fn whoever_disables_the_sdk_exports_nothing() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let (settings, _) = read_from(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]);
    assert_eq!((settings.traces, settings.metrics, settings.logs), (None, None, None));
    let (settings, warnings) =
        read_from(&[endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "prometheus")]);
    assert!(settings.traces.is_none() && settings.metrics.is_none() && settings.logs.is_some() && warnings.is_empty());
}

#[test]
fn samplers_are_those_of_the_specification() {
    let ratio = |share| Root::Ratio(Ratio::new(share));
    for (name, argument, sampler) in [
        ("always_on", "", Sampler { parent_based: false, root: Root::AlwaysOn }),
        ("always_off", "", Sampler { parent_based: false, root: Root::AlwaysOff }),
        ("traceidratio", "0.25", Sampler { parent_based: false, root: ratio(0.25) }),
        ("traceidratio", "", Sampler { parent_based: false, root: ratio(1.0) }),
        ("parentbased_always_on", "", Sampler::DEFAULT),
        ("parentbased_always_off", "", Sampler { parent_based: true, root: Root::AlwaysOff }),
        ("parentbased_traceidratio", "0", Sampler { parent_based: true, root: ratio(0.0) }),
    ] {
        let found = read_from(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        assert_eq!((found.0.sampler, found.1), (sampler, Vec::new()), "{name}");
    }
}

#[test]
fn a_list_of_mistakes_alone_is_ignored_and_case_does_not_matter() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    let (settings, warnings) =
        read_from(&[endpoint, ("OTEL_PROPAGATORS", "jaeger"), ("OTEL_TRACES_EXPORTER", "zipkin")]);
    assert_eq!((settings.propagators, settings.traces.is_some()), (Propagators::DEFAULT, true));
    assert_eq!(warnings.len(), 2);
    let (settings, _) = read_from(&[endpoint, ("OTEL_PROPAGATORS", "none"), ("OTEL_TRACES_EXPORTER", "none,zipkin")]);
    assert_eq!((settings.propagators, settings.traces.is_some()), (Propagators::NONE, false));
    let (settings, warnings) = read_from(&[
        endpoint,
        ("OTEL_PROPAGATORS", "B3"),
        ("OTEL_TRACES_SAMPLER", "Always_Off"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC"),
    ]);
    assert_eq!(warnings, Vec::<String>::new());
    let traces = settings.traces.unwrap();
    assert!(settings.propagators.b3 && traces.gzip && traces.protocol == Protocol::Grpc);
    assert_eq!(settings.sampler.root, Root::AlwaysOff);
}

#[test]
fn the_least_of_the_timeouts_holds_and_0_is_none() {
    let timeout = |variables: &[(&str, &str)]| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        read_from(&[&[endpoint], variables].concat()).0.traces.unwrap().timeout
    };
    assert_eq!(timeout(&[]), Duration::from_secs(10));
    assert_eq!(timeout(&[("OTEL_BSP_EXPORT_TIMEOUT", "700")]), Duration::from_millis(700));
    assert_eq!(timeout(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]), Duration::from_secs(30));
    let none = [("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), ("OTEL_BSP_EXPORT_TIMEOUT", "0")];
    assert!(timeout(&none) > Duration::from_secs(86_400));
}

#[test]
fn a_signals_own_endpoint_is_taken_as_it_is_and_no_secret_is_shown() {
    let (settings, _) = read_from(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/in/?key=1")]);
    assert_eq!(settings.traces.unwrap().url.target(), "/in/?key=1");
    let (settings, warnings) = read_from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@c:4318")]);
    assert!(settings.traces.is_none() && !warnings.concat().contains("secret"), "{warnings:?}");
}

#[test]
fn what_cannot_be_warns_with_name_value_and_cure_and_the_default_holds() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
    for (name, value, says) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "always_on"),
        ("OTEL_PROPAGATORS", "jaeger", "tracecontext, baggage, b3"),
        ("OTEL_SDK_DISABLED", "yes", "true or false"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s", "a whole number"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number of 1 or more"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100001", "1 to 100000"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "-1", "a whole number"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "minute", "a whole number"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a whole number"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "soon", "a whole number"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "c:4318", "http://HOST:PORT"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
        ("OTEL_LOGS_EXPORTER", "console", "otlp or none"),
    ] {
        let (_, warnings) = read_from(&[endpoint, (name, value)]);
        let told = warnings.first().map(String::as_str).unwrap_or_default();
        assert!(told.starts_with(name) && told.contains(value) && told.contains(says), "{name}={value}: {warnings:?}");
    }
    let (settings, _) = read_from(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]);
    assert_eq!(settings.sampler.root, Root::Ratio(Ratio::new(1.0)));
}

#[test]
fn headers_are_decoded_and_never_shown() {
    let (settings, warnings) = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=s%20ecret, x-a = b=c ,broken,=v,x-b=%zz,x y=1"),
    ]);
    let target = settings.traces.expect("it has an endpoint");
    let pairs: Vec<(&str, &str)> = target.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("api-key", "s ecret"), ("x-a", "b=c")]);
    assert_eq!(
        warnings.iter().filter(|warning| warning.contains("OTEL_EXPORTER_OTLP_HEADERS: member")).count(),
        4,
        "{warnings:?}"
    );
    assert!(!format!("{target:?} {warnings:?}").contains("ecret"));
}

#[test]
fn a_certificate_without_its_key_is_said() {
    let (settings, warnings) = read_from(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c.pem"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
    ]);
    let tls = settings.traces.expect("it has an endpoint").tls;
    assert_eq!((tls.ca, tls.client), (Some("/ca.pem".into()), None));
    assert!(warnings[0].contains("CLIENT_KEY"), "{warnings:?}");
}
