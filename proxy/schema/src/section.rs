//! A group of settings, each of which a layer may leave out.

/// A struct of optional fields: camelCase, what is unset is not written, and a value that is no mapping is refused in plain words.
macro_rules! section {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: Option<$type:ty>,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", expecting = "a mapping of fields")]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )+
        }
    };
}

pub(crate) use section;
