//! Tests of a member of the fleet.

use futures_util::future::pending;

use super::dial::{Commands, Subscription};
use super::failure::{RedisFailure, Stage};
use super::settings::{Address, RedisOptions};
use super::*;
use crate::core::secret::Secret;
use crate::core::spawn::on_runtime;
use crate::core::tokens::key::OwnerKind;

/// Nothing is reached or fetched here.
struct Nothing;

impl Dial for Nothing {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        pending().boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        pending().boxed()
    }
}

impl TokenSource for Nothing {
    fn fetch(&self, _: Fetch) -> BoxFuture<'_, Result<Fetched, Error>> {
        pending().boxed()
    }
}

fn fleet(secret_key: &str, encryption_key: Option<&str>) -> Result<Fleet<Nothing>, Error> {
    let encryption_key = encryption_key.map(|key| Secret::new(key.to_owned()));
    let options = RedisOptions { encryption_key, ..RedisOptions::at("redis://r.test") };
    let parts = FleetParts {
        environment: FleetEnvironment { dialer: Box::new(Nothing), spawn: on_runtime, max_pending: 1 },
        secret_key,
        publishable_key: "pk",
        url_of: Box::new(|key| key.id().text().to_owned()),
        connect_timeout: Duration::from_secs(3),
        patience: Duration::from_secs(8),
        ttl: Duration::from_secs(60),
        validity: Arc::new(Validity::shared()),
        stats: Arc::default(),
        clock: Clock::system(),
        jitter: || 0.0,
    };
    Fleet::new(Nothing, &options.check().unwrap(), parts)
}

#[test]
fn a_secret_key_that_is_too_short_needs_an_encryption_key_beside_it() {
    let encryption_key = "e".repeat(32);
    for (length, is_enough) in [(15, false), (16, true), (17, true)] {
        let secret_key = "s".repeat(length);
        let option = fleet(&secret_key, None).err().map(|error| error.option);
        assert_eq!(option, (!is_enough).then_some(Some("cache.encryptionKey")), "{length}");
        assert!(fleet(&secret_key, Some(&encryption_key)).is_ok());
    }
}

#[test]
fn the_version_of_a_connection_changes_when_another_member_invalidates_that_connection() {
    let fleet = fleet("secret-of-the-fleet", None).unwrap();
    let keys = ["u", "v"].map(|owner| ConnectionKey::new(OwnerKind::User, owner, "slack").unwrap());
    let validity = &fleet.member.channel.validity;
    let versions = keys.each_ref().map(|key| fleet.version(key, Duration::ZERO));
    validity.invalidate(fleet.name(&keys[0]).prefix());
    assert_eq!(versions.map(|version| validity.is_current(version)), [false, true]);
}
