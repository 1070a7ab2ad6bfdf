//! What a demo exports.

use std::collections::BTreeMap;

use crate::config::TelemetrySettings;
use crate::otlp::Url;

/// What the environment says, and what suits somebody who waits for the first trace. `--otlp` says where to.
pub fn telemetry(environment: &BTreeMap<String, String>, otlp: Option<&Url>) -> TelemetrySettings {
    let mut environment = environment.clone();
    if let Some(url) = otlp {
        environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), url.to_string());
        let protocol = if url.port == 4317 { "grpc" } else { "http/protobuf" };
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_SCHEDULE_DELAY", "500"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ] {
            environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    TelemetrySettings { service_name: Some("slipstream-demo".to_owned()), environment }
}
