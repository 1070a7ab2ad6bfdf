//! Attributes: a key and a value of one of the kinds that we use.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Real(f64),
    Truth(bool),
    Texts(Vec<String>),
}

impl From<Value> for AnyValue {
    fn from(value: Value) -> AnyValue {
        let text = |text| any_value::Value::StringValue(text);
        let value = match value {
            Value::Text(value) => text(value),
            Value::Integer(value) => any_value::Value::IntValue(value),
            Value::Real(value) => any_value::Value::DoubleValue(value),
            Value::Truth(value) => any_value::Value::BoolValue(value),
            Value::Texts(values) => {
                let values = values.into_iter().map(|value| AnyValue { value: Some(text(value)) }).collect();
                any_value::Value::ArrayValue(ArrayValue { values })
            }
        };
        AnyValue { value: Some(value) }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Real(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Truth(truth)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Value {
        Value::Texts(texts)
    }
}

/// `attribute("http.response.status_code", 200_i64)`.
pub fn attribute(key: &str, value: impl Into<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value.into().into()), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_is_written_as_its_own() {
        let value = |attribute: KeyValue| attribute.value.and_then(|any| any.value);
        assert_eq!(value(attribute("k", "v")), Some(any_value::Value::StringValue("v".to_owned())));
        assert_eq!(value(attribute("k", 1_i64)), Some(any_value::Value::IntValue(1)));
        assert_eq!(value(attribute("k", 0.5)), Some(any_value::Value::DoubleValue(0.5)));
        assert_eq!(value(attribute("k", true)), Some(any_value::Value::BoolValue(true)));
        let Some(any_value::Value::ArrayValue(list)) = value(attribute("k", vec!["a".to_owned(), "b".to_owned()]))
        else {
            panic!("a list is an array");
        };
        assert_eq!(list.values.len(), 2);
        assert_eq!(attribute("k", "v").key, "k");
    }
}
