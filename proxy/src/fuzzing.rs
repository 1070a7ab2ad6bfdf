//! The door for the fuzz targets (`proxy/fuzz`): what they see of the private rooms. Built under `cfg(fuzzing)` alone.

pub use crate::buf::Buf;
pub use crate::h1::{
    AnswerHead, Ask, BadBody, Body, HeadLimits, Keep, Persist, RequestHead, ResponseHead, Sender, answer_head,
    ask_head, parse_request, parse_response,
};
pub use crate::http::{Fields, Method, Version};
