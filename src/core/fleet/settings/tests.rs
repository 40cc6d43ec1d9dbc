//! Tests of the settings.

use super::*;

impl RedisOptions {
    /// Nothing but a URL.
    pub fn at(url: &str) -> Self {
        Self {
            url: Secret::new(url.to_owned()),
            key_prefix: None,
            command_timeout: None,
            sentinel_username: None,
            sentinel_password: None,
            encryption_key: None,
        }
    }
}

fn check(url: &str) -> Result<RedisSettings, Error> {
    RedisOptions::at(url).check()
}

fn node(host: &str, port: u16) -> Address {
    Address { host: host.to_owned(), port }
}

#[test]
fn a_url_says_it_all() {
    let settings = check("rediss://me:p%40ss%23word@redis.test:6380/2").unwrap();
    assert_eq!(
        (settings.nodes, settings.is_tls, settings.database),
        (vec![node("redis.test", 6380)], true, 2)
    );
    assert_eq!(settings.login.user.unwrap().expose(), "me");
    assert_eq!(settings.login.password.unwrap().expose(), "p@ss#word");
    let settings = check("redis://:secret@[::1]").unwrap();
    assert_eq!((settings.nodes, settings.is_tls), (vec![node("::1", 6379)], false));
    assert!(settings.login.user.is_none() && settings.login.password.is_some());
    assert_eq!((settings.database, settings.key_prefix.as_str()), (0, "xkit:"));
    let settings = check("redis://redis.test").unwrap();
    assert!(settings.login.user.is_none() && settings.login.password.is_none());
}

#[test]
fn a_login_is_sent_as_it_is_given() {
    for (url, user, password, command) in [
        ("redis://redis.test", None, None, None),
        ("redis://:secret@redis.test", None, Some("secret"), Some("AUTH secret")),
        ("redis://me:secret@redis.test", Some("me"), Some("secret"), Some("AUTH me secret")),
    ] {
        let login = check(url).unwrap().login;
        let info = login.connection_info();
        assert_eq!((info.username(), info.password()), (user, password));
        assert!(info.skip_set_lib_name(), "which some users have no permission for");
        let words = login.command().map(|command| {
            let words = command.args_iter().map(|word| match word {
                redis::Arg::Simple(word) => str::from_utf8(word).unwrap().to_owned(),
                _ => panic!("a cursor"),
            });
            words.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(words.as_deref(), command);
    }
}

#[test]
fn a_scheme_says_whether_there_is_tls_and_what_the_nodes_are() {
    for (rest, topology) in [
        ("://a.test", "Single"),
        ("-sentinel://a.test?master=m", "Sentinel"),
        ("-cluster://a.test", "Cluster"),
    ] {
        for (scheme, is_tls) in [("redis", false), ("rediss", true)] {
            let settings = check(&format!("{scheme}{rest}")).unwrap();
            assert_eq!(settings.is_tls, is_tls, "{scheme}{rest}");
            assert!(format!("{:?}", settings.topology).starts_with(topology), "{scheme}{rest}");
        }
    }
}

#[test]
fn an_address_is_a_host_and_perhaps_a_port() {
    for (text, address) in [
        ("a.test", Some(node("a.test", 7))),
        ("a.test:8", Some(node("a.test", 8))),
        ("[::1]", Some(node("::1", 7))),
        ("[::1]:8", Some(node("::1", 8))),
        ("", None),
        (":8", None),
        ("a.test:0", None),
        ("a.test:b", None),
        ("a.test:65536", None),
    ] {
        assert_eq!(Address::parse(text, 7), address, "{text}");
    }
    // In a reply of a cluster, a port is needed.
    assert_eq!(Address::parse("a.test", 0), None);
}

#[test]
fn sentinels_and_clusters_are_told_by_the_scheme() {
    let settings = check("redis-sentinel://a.test/1?master=main&node=b.test:26380&node=[::1]:7").unwrap();
    assert!(matches!(settings.topology, Topology::Sentinel { master, .. } if master == "main"));
    assert_eq!(settings.nodes, [node("a.test", 26379), node("b.test", 26380), node("::1", 7)]);
    let settings = check("rediss-cluster://a.test:7000?node=b.test").unwrap();
    assert!(matches!(settings.topology, Topology::Cluster) && settings.is_tls);
    assert_eq!(settings.nodes, [node("a.test", 7000), node("b.test", 6379)]);
}

#[test]
fn sentinels_may_have_a_login_of_their_own_and_nobody_else() {
    let with = |url: &str, user: Option<&str>, password: Option<&str>| {
        let options = RedisOptions {
            sentinel_username: user.map(str::to_owned),
            sentinel_password: password.map(|password| Secret::new(password.to_owned())),
            ..RedisOptions::at(url)
        };
        options.check()
    };
    let url = "redis-sentinel://me:secret@a.test?master=main";
    let settings = with(url, Some("watcher"), Some("swordfish")).unwrap();
    assert!(!format!("{settings:?}").contains("swordfish"));
    let Topology::Sentinel { logins, .. } = settings.topology else { panic!("no Sentinels") };
    let [login] = <[Login; 1]>::try_from(logins).unwrap();
    assert_eq!((login.user.unwrap().expose(), login.password.unwrap().expose()), ("watcher", "swordfish"));
    assert!(with(url, None, Some("swordfish")).is_ok());
    let Topology::Sentinel { logins, .. } = with(url, None, None).unwrap().topology else { panic!("none") };
    let users = logins.iter().map(|login| login.user.as_ref().map(Secret::expose));
    assert_eq!(users.collect::<Vec<_>>(), [None, Some("me")], "without a login, and with that of the Redis");
    for (url, user, password) in [
        (url, Some("watcher"), None),
        (url, Some(""), Some("swordfish")),
        (url, Some("watcher"), Some("")),
        (url, None, Some("")),
        ("redis://a.test", None, Some("swordfish")),
        ("redis://a.test", Some("x"), None),
    ] {
        let error = with(url, user, password).unwrap_err();
        assert!(error.option.is_some_and(|option| option.starts_with("cache.redis.sentinel")));
    }
}

#[test]
fn what_is_no_such_url_is_refused_without_being_repeated() {
    for url in [
        "swordfish",
        "http://me:swordfish@redis.test",
        "redis://me:swordfish@",
        "redis://me:swordfish@redis.test/two",
        "redis://me:swordfish@redis.test/1/2",
        "redis://me:swordfish@redis.test/-1",
        "redis://me:swordfish@redis.test:99999",
        "redis://me:swordfish@redis.test?db=2",
        "redis://me:sword#fish@redis.test",
        "redis://me:%ff-swordfish@redis.test",
        "redis-sentinel://me:swordfish@redis.test",
        "redis-sentinel://me:swordfish@redis.test?master=a&node=:1",
        "redis-sentinel://me:swordfish@redis.test?master=",
        "redis-sentinel://me:swordfish@redis.test?master=a&master=b",
        "redis-cluster://me:swordfish@redis.test?master=a",
        "redis://me:swordfish@redis.test?node=a",
        "redis-cluster://me:swordfish@redis.test/1",
    ] {
        let error = check(url).unwrap_err();
        assert_eq!(error.option, Some("cache.redis"), "{url}");
        assert!(!error.message.contains("fish") && !error.message.contains("redis.test"), "{url}");
    }
}

#[test]
fn prefixes_that_are_none_are_refused() {
    for (prefix, is_good) in
        [("app:", true), ("", false), ("a\nb", false), (&"p".repeat(256), true), (&"p".repeat(257), false)]
    {
        let options =
            RedisOptions { key_prefix: Some(prefix.to_owned()), ..RedisOptions::at("redis://redis.test") };
        let checked = options.check().ok().map(|settings| settings.key_prefix);
        assert_eq!(checked.as_deref(), is_good.then_some(prefix), "{prefix:?}");
    }
}

#[test]
fn settings_show_no_password() {
    let shown = format!("{:?}", check("redis://me:swordfish@redis.test").unwrap());
    assert!(!shown.contains("swordfish"));
}
