//! Owns where the fleet's Redis is, read from its URL and checked at construction. The URL holds a password, so no error
//! repeats any of it.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::{Cmd, RedisConnectionInfo};
use url::{Host, Url};

use crate::core::error::Error;
use crate::core::secret::Secret;

#[cfg(test)]
mod tests;

/// The prefix of all keys and of the channel.
const DEFAULT_KEY_PREFIX: &str = "xkit:";
/// The limit of one command, connecting included. A call goes on without Redis after that.
const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_millis(50);
/// In bytes: every key carries the prefix.
const MAX_KEY_PREFIX: usize = 256;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The options of the second level, as the caller gave them.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub url: Secret,
    /// The prefix of all keys and of the channel.
    pub key_prefix: Option<String>,
    pub command_timeout: Option<Duration>,
    /// The login of the Sentinels, where it differs from that of the Redis.
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<Secret>,
    /// The secret that all keys are derived from, in place of the platform's secret key. The facade has checked its length.
    pub encryption_key: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The nodes to ask, in this order.
    pub nodes: Vec<Address>,
    pub topology: Topology,
    pub is_tls: bool,
    pub login: Login,
    pub database: i64,
    pub key_prefix: String,
    pub command_timeout: Duration,
    pub encryption_key: Option<Secret>,
}

/// A user and a password; neither where no login is needed.
#[derive(Clone, Debug, Default)]
pub struct Login {
    pub user: Option<Secret>,
    pub password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// What the nodes are.
#[derive(Clone, Debug)]
pub enum Topology {
    /// One Redis, or a name that leads to the one that takes writes.
    Single,
    /// Sentinels, which know the address of the Redis of this name, and the logins to try with them.
    Sentinel { master: String, logins: Vec<Login> },
    /// Members of a cluster: any of them says which one holds the fleet's slot.
    Cluster,
}

impl RedisOptions {
    /// Checks everything; the first thing wrong is the error.
    pub fn check(&self) -> Result<RedisSettings, Error> {
        let url =
            Url::parse(self.url.expose()).map_err(|_| refuse("must be a URL such as rediss://host:6379"))?;
        let (is_tls, has_sentinels, is_cluster) = read_scheme(&url)?;
        if url.fragment().is_some() {
            return Err(refuse("must not have a fragment: percent-encode a # in the password"));
        }
        let sentinel_login = self.sentinel_login(has_sentinels)?;
        let password = decode(url.password().unwrap_or_default())?;
        let login = Login { user: decode(url.username())?, password };
        let (nodes, master) = nodes(&url, has_sentinels, is_cluster)?;
        let database = database(&url)?;
        if is_cluster && database != 0 {
            return Err(refuse("must not name a database: a cluster has only one"));
        }
        Ok(RedisSettings {
            nodes,
            topology: match master {
                Some(master) => Topology::Sentinel {
                    master,
                    // Where no login is configured for them, none is tried first, and then that of the Redis.
                    logins: sentinel_login
                        .map_or_else(|| vec![Login::default(), login.clone()], |it| vec![it]),
                },
                None if is_cluster => Topology::Cluster,
                None => Topology::Single,
            },
            is_tls,
            login,
            database,
            key_prefix: self.key_prefix()?,
            command_timeout: self.command_timeout.unwrap_or(DEFAULT_COMMAND_TIMEOUT),
            encryption_key: self.encryption_key.clone(),
        })
    }

    fn sentinel_login(&self, has_sentinels: bool) -> Result<Option<Login>, Error> {
        let (user, password) = (self.sentinel_username.as_deref(), self.sentinel_password.as_ref());
        let refuse = |option, problem| Err(Error::option(option, problem));
        if !has_sentinels && (user.is_some() || password.is_some()) {
            let problem = "is of use with a redis-sentinel:// or rediss-sentinel:// URL only";
            return refuse("cache.redis.sentinelPassword", problem);
        }
        if user.is_some_and(str::is_empty) || password.is_some_and(|password| password.expose().is_empty()) {
            return refuse("cache.redis.sentinelPassword", "and its user name must not be empty");
        }
        if user.is_some() && password.is_none() {
            return refuse("cache.redis.sentinelUsername", "needs a sentinelPassword beside it");
        }
        let user = user.map(|user| Secret::new(user.to_owned()));
        Ok(password.map(|password| Login { user, password: Some(password.clone()) }))
    }

    fn key_prefix(&self) -> Result<String, Error> {
        let prefix = self.key_prefix.as_deref().unwrap_or(DEFAULT_KEY_PREFIX);
        if prefix.is_empty() || prefix.len() > MAX_KEY_PREFIX || prefix.chars().any(char::is_control) {
            return Err(Error::option(
                "cache.redis.keyPrefix",
                "must be 1 to 256 bytes long and hold no control characters",
            ));
        }
        Ok(prefix.to_owned())
    }
}

/// Whether a URL is for TLS, for Sentinels, and for a cluster.
fn read_scheme(url: &Url) -> Result<(bool, bool, bool), Error> {
    let is_tls = url.scheme().starts_with("rediss");
    match url.scheme().strip_prefix(if is_tls { "rediss" } else { "redis" }) {
        Some("") => Ok((is_tls, false, false)),
        Some("-sentinel") => Ok((is_tls, true, false)),
        Some("-cluster") => Ok((is_tls, false, true)),
        _ => Err(refuse(
            "must begin with redis:// or rediss://, redis-sentinel:// or rediss-sentinel://, redis-cluster:// or rediss-cluster://",
        )),
    }
}

/// The nodes of a URL, and the name of the Redis that its Sentinels watch.
fn nodes(url: &Url, has_sentinels: bool, is_cluster: bool) -> Result<(Vec<Address>, Option<String>), Error> {
    let default_port = if has_sentinels { SENTINEL_PORT } else { REDIS_PORT };
    let (mut nodes, mut master) = (vec![first_node(url, default_port)?], None);
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "master" if has_sentinels && master.is_none() && !value.is_empty() => {
                master = Some(value.into_owned());
            }
            "node" if has_sentinels || is_cluster => {
                let node = Address::parse(&value, default_port);
                nodes.push(node.ok_or_else(|| refuse("must give each node as host:port"))?);
            }
            _ => {
                return Err(refuse(
                    "may have ?node=host:port for Sentinel and Cluster, and ?master=name for Sentinel",
                ));
            }
        }
    }
    if has_sentinels && master.is_none() {
        return Err(refuse("must name the Redis that the Sentinels watch: ?master=name"));
    }
    Ok((nodes, master))
}

impl Login {
    /// The login as the library takes it.
    pub fn connection_info(&self) -> RedisConnectionInfo {
        let info = anonymous();
        let info = self.user.iter().fold(info, |info, user| info.set_username(user.expose()));
        self.password.iter().fold(info, |info, password| info.set_password(password.expose()))
    }

    pub fn command(&self) -> Option<Cmd> {
        let password = self.password.as_ref()?;
        let mut command = redis::cmd("AUTH");
        command.arg(self.user.as_ref().map(Secret::expose)).arg(password.expose());
        Some(command)
    }
}

/// No login. The library's name is left out, since some users have no permission to send it.
pub fn anonymous() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

impl Address {
    /// Parses `host:port`, with an IPv6 address in brackets. Without a port, the default one counts; 0 stands for none.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host.strip_prefix('[').map_or(host, |host| host.strip_suffix(']').unwrap_or(host));
        (!host.is_empty() && port != 0).then(|| Self { host: host.to_owned(), port })
    }
}

fn first_node(url: &Url, default_port: u16) -> Result<Address, Error> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("must name a host"))?;
    let host = percent_decode_str(host).decode_utf8().map_err(|_| refuse("must name a host"))?;
    // The url crate leaves the host of this scheme as it is written: `Host` puts names of other scripts into ASCII.
    let host = Host::parse(&host).map_err(|_| refuse("must name a host"))?.to_string();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Address { host: host.to_owned(), port: url.port().unwrap_or(default_port) })
}

fn decode(text: &str) -> Result<Option<Secret>, Error> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| refuse("must give user and password as percent-encoded UTF-8"))?;
    Ok((!text.is_empty()).then(|| Secret::new(text.into_owned())))
}

fn database(url: &Url) -> Result<i64, Error> {
    let path = url.path().trim_start_matches('/');
    if path.is_empty() {
        return Ok(0);
    }
    let number =
        path.parse::<u16>().map_err(|_| refuse("must have nothing but a database number as its path"))?;
    Ok(number.into())
}

fn refuse(problem: &str) -> Error {
    Error::option("cache.redis", problem)
}
