//! Texts that mean something: durations, sizes, addresses, networks, names. Each reader takes the text alone and
//! returns the value or a [`Refusal`]; who stands where in the file is not its business.

mod address;
mod duration;
mod request;
mod size;
mod words;

pub(super) use address::{
    DNS_PORT, Place, asked_address, bind_address, domain_name, file_path, log_target, name_server,
    network, server_place, service_name, socket_path, source_address, with_numeric_zone,
};
pub(super) use duration::{duration, unit_help};
pub(super) use request::{field_value, method, target};
pub(super) use size::size;
pub(super) use words::{
    attribute, cookie_key, cookie_name, domain, field_name, host, name, parameter_name, realm, tag,
    url_path,
};

/// Why a text is not fit, to be read after "`key` is \"text\": ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}
