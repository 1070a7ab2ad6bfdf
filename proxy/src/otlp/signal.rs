//! What each signal is called where it goes.

use crate::telemetry::exports::Signal;

impl Signal {
    pub fn label(self) -> &'static str {
        Signal::LABELS[self as usize]
    }

    /// In `OTEL_EXPORTER_OTLP_<this>_ENDPOINT` and its like.
    pub(super) fn infix(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        }
    }

    /// Behind the endpoint of all signals (OTLP, "OTLP/HTTP Request").
    pub(super) fn http_path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
            Signal::Logs => "/v1/logs",
        }
    }

    pub(super) fn grpc_path(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}
