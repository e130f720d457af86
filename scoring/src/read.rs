//! One reader per kind of argument. Each adds what it finds and says nothing of what it does not understand.

pub(crate) mod code;
pub(crate) mod message;
pub(crate) mod path;
pub(crate) mod python;
pub(crate) mod secret;
pub(crate) mod shell;
pub(crate) mod sql;
pub(crate) mod url;
