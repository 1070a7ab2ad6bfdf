//! The log of the control side as log records.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracing::Level;

use crate::log::Entry;

pub(crate) fn of_entry(entry: &Entry) -> LogRecord {
    let severity = match entry.level {
        Level::ERROR => SeverityNumber::Error,
        Level::WARN => SeverityNumber::Warn,
        Level::INFO => SeverityNumber::Info,
        Level::DEBUG => SeverityNumber::Debug,
        Level::TRACE => SeverityNumber::Trace,
    };
    LogRecord {
        time_unix_nano: entry.unix_ns,
        observed_time_unix_nano: entry.unix_ns,
        severity_number: severity.into(),
        severity_text: entry.level.to_string(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(entry.message.clone())) }),
        event_name: "slipstream.log".to_owned(),
        ..LogRecord::default()
    }
}
