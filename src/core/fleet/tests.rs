//! Tests of a member of the fleet.

use super::rig::{MemberOptions, TestRedis, key};
use super::*;

#[test]
fn a_secret_key_that_is_too_short_needs_an_encryption_key_beside_it() {
    let encryption_key = "e".repeat(32);
    for (length, is_enough) in [(15, false), (16, true), (17, true)] {
        let secret_key = "s".repeat(length);
        let fleet = |encryption_key| {
            let secret_key = secret_key.clone();
            let options = MemberOptions { secret_key, encryption_key, ..MemberOptions::new(&Arc::default()) };
            options.try_join(&TestRedis::new())
        };
        let option = fleet(None).err().map(|error| error.option);
        assert_eq!(option, (!is_enough).then_some(Some("cache.encryptionKey")), "{length}");
        assert!(fleet(Some(encryption_key.clone())).is_ok());
    }
}

#[test]
fn the_version_of_a_connection_changes_when_another_member_invalidates_that_connection() {
    let fleet = MemberOptions::new(&Arc::default()).join(&TestRedis::new());
    let keys = ["u", "v"].map(key);
    let validity = &fleet.member.channel.validity;
    let versions = keys.each_ref().map(|key| fleet.version(key, Duration::ZERO));
    validity.invalidate(fleet.name(&keys[0]).prefix());
    assert_eq!(versions.map(|version| validity.is_current(version)), [false, true]);
}
