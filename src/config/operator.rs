//! What the file says of the listener for people.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::resolve::Reader;

/// Where people go unless the file says otherwise. `*.localhost` is this machine in every browser, and cookies of
/// this name are not sent to whatever else runs on `localhost`.
const HOST: &str = "herma.localhost";
const PORT: u16 = 4590;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Typed {
    /// `IP:PORT` or `off`.
    listen: Option<Spanned<String>>,
    /// Names beside `herma.localhost` under which people reach it.
    hosts: Vec<Spanned<String>>,
    /// A TLS proxy in front of it is the only way to it.
    behind_tls: bool,
}

/// The listener for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// `None` when it is off.
    pub listen: Option<SocketAddr>,
    /// The address was not asked for: when it is taken, another port does.
    pub any_port: bool,
    /// The names it answers to, the first one being where people are sent.
    pub hosts: Vec<String>,
    pub behind_tls: bool,
}

impl Reader<'_> {
    pub(super) fn operator(&self, typed: &Typed) -> Result<Operator, ConfigError> {
        let listen = match &typed.listen {
            None => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))),
            Some(off) if off.get_ref() == "off" => None,
            Some(text) => Some(self.people_at(text, typed)?),
        };
        let mut hosts = Vec::new();
        for host in &typed.hosts {
            let name = host.get_ref().to_ascii_lowercase();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
            if name.is_empty() || !name.chars().all(plain) {
                let said = format!("`{name}` is no host name: write NAME or NAME:PORT, without http://");
                return Err(self.at(host, said));
            }
            hosts.push(name);
        }
        // Passkeys and the addresses in messages belong to the first name.
        if !typed.behind_tls {
            hosts.insert(0, HOST.to_owned());
        }
        Ok(Operator { listen, any_port: typed.listen.is_none(), hosts, behind_tls: typed.behind_tls })
    }

    fn people_at(&self, text: &Spanned<String>, typed: &Typed) -> Result<SocketAddr, ConfigError> {
        let address: SocketAddr = text.get_ref().parse().map_err(|_| {
            let said = format!("`{}` is no address: write IP:PORT, or \"off\"", text.get_ref());
            self.at(text, said)
        })?;
        if !address.ip().is_loopback() && !typed.behind_tls {
            let said = "this address can be reached from other machines without encryption: listen on 127.0.0.1, or \
                        put a TLS proxy in front and say `behind_tls = true` with the name in `hosts`";
            return Err(self.at(text, said));
        }
        if typed.behind_tls && typed.hosts.is_empty() {
            return Err(self.at(text, "`behind_tls` needs the name under which people reach it in `hosts`"));
        }
        Ok(address)
    }
}
